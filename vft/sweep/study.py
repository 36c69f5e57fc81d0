"""The study of a sweep in WORKDIR/study.db: what was tried, and what to try next. The only file that knows Optuna."""
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy.exc
from optuna.trial import TrialState

from vft.errors import ConfigError, RunError
from vft.sweep.space import Field

SAMPLERS = ("tpe", "random", "grid")


class Study:
  """One sweep. Who opens it holds the lock of its folder, so a trial that still runs belongs to a dead process.

  Every value has a sampler of its own, seeded by (seed, numbers of the trial and the field): with the trials before it
  they decide what is tried next, however often the sweep was stopped in between.

  Args:
    space: fields that are tried.
    trials: how many; a grid has its own number, and fewer where `trials` is above 0 and smaller.
    smaller: whether less is better.

  Raises ConfigError where the folder holds a sweep of another space, RunError where study.db cannot be read.
  """

  def __init__(self, folder: Path, space: Sequence[Field], *, sampler: str, seed: int, trials: int, smaller: bool):
    self.space, self._sampler, self._seed = space, sampler, seed
    self.count = math.prod(f.count for f in space)  # different trials; infinite with a range of real numbers
    if sampler == "grid" and self.count == math.inf:
      endless = next(f for f in space if f.count == math.inf)
      raise ConfigError(f"A grid needs values, but {endless.name}={endless} has no end of them; list some, such as "
                        f"--over {endless.name}={','.join(endless.ends)}, or take --sampler=tpe.")
    self.trials = min(trials or math.inf, self.count) if sampler == "grid" else trials
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
      self._storage = optuna.storages.RDBStorage(f"sqlite:///{folder.resolve() / 'study.db'}")
      self._study = optuna.create_study(storage=self._storage, study_name="sweep", load_if_exists=True,
                                        direction="minimize" if smaller else "maximize")
    except sqlalchemy.exc.DatabaseError as e:
      raise RunError(f"{folder / 'study.db'} cannot be read ({e.orig}); give another --workdir.") from e
    self._settle({"sampler": sampler, **{f.name: str(f) for f in space}}, folder)

  def _settle(self, asked: dict[str, str], folder: Path) -> None:
    held = self._study.user_attrs.get("space")
    if held is None:
      self._study.set_user_attr("space", asked)
    elif held != asked:
      lines = [f"  {k}: {held.get(k, 'not tried')} -> {asked.get(k, 'not tried')}"
               for k in sorted(held.keys() | asked.keys()) if held.get(k) != asked.get(k)]
      raise ConfigError(f"{folder} holds a sweep of another space (old -> new):\n" + "\n".join(lines) +
                        "\nGive another --workdir for the new one, or the old values to go on.")

  def close(self) -> None:
    """Frees the file."""
    self._storage.remove_session()
    self._storage.engine.dispose()

  def all(self) -> list[optuna.trial.FrozenTrial]:
    """Every trial that is finished or failed, in the order of their numbers."""
    return self._study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.FAIL))

  def texts(self, params: Mapping[str, Any]) -> dict[str, str]:
    """{field: value as a flag takes it} of an Optuna trial's parameters."""
    return {f.name: f.text(params[f.name]) for f in self.space}

  def next(self) -> "Open | None":
    """The trial to run now: one that was interrupted, else a new one; None when all are done."""
    trials = self._study.get_trials(deepcopy=False)
    running = [t for t in trials if t.state == TrialState.RUNNING]
    done = {tuple(self.texts(t.params).values()) for t in trials if t.state.is_finished()}
    waiting = sum(t.state == TrialState.WAITING for t in trials)  # enqueued by a process that then died
    number = len(trials) - waiting
    if running:
      trial, number = optuna.trial.Trial(self._study, running[0]._trial_id), running[0].number
    elif number >= self.trials or len(done) >= self.count:
      return None
    else:
      if self._sampler == "grid" and not waiting:
        values = next(itertools.islice(itertools.product(*map(_listed, self.space)), number, None))
        self._study.enqueue_trial(dict(zip([f.name for f in self.space], values, strict=True)))
      trial = self._study.ask()
    values = {}
    for place, one in enumerate(self.space):  # each by itself: the process may end between two of them
      self._study.sampler = _make_sampler(self._sampler, [self._seed, number, place])
      values[one.name] = one.suggest(trial)
    return Open(self._study, trial, values, self._twin)

  def _twin(self, values: Mapping[str, str]) -> optuna.trial.FrozenTrial | None:
    return next((t for t in self.all() if self.texts(t.params) == values), None)


class Open:
  """A trial that runs: its number, its values, and where its outcome goes."""

  def __init__(self, study: optuna.Study, trial: optuna.Trial, values: dict[str, str], twin: Any):
    self._study, self._trial, self.values, self.number = study, trial, values, trial.number
    self.starts = trial.user_attrs.get("starts", 0) + 1  # more than one: it was interrupted
    self.twin = twin(values)  # an earlier trial of the same values, or None
    trial.set_user_attr("starts", self.starts)

  def tell(self, value: float, **facts: Any) -> None:
    """The validation figure, and what else the table shows."""
    for key, fact in facts.items():
      self._trial.set_user_attr(key, fact)
    self._study.tell(self._trial, value)

  def fail(self, message: str) -> None:
    """The trial came to nothing."""
    self._trial.set_user_attr("failed", message)
    self._study.tell(self._trial, state=TrialState.FAIL)

  def repeat(self) -> None:
    """The outcome of its twin, without a run."""
    self._trial.set_user_attr("same_as", self.twin.number)
    if self.twin.state == TrialState.COMPLETE:
      self.tell(self.twin.value)
    else:
      self.fail(self.twin.user_attrs["failed"])


def _listed(field: Field) -> Sequence[Any]:
  return field.values or range(int(field.low), int(field.high) + 1)


def _make_sampler(kind: str, seed: Sequence[int]) -> optuna.samplers.BaseSampler:
  drawn = int(np.random.SeedSequence(seed).generate_state(1)[0])
  return optuna.samplers.TPESampler(seed=drawn) if kind == "tpe" else optuna.samplers.RandomSampler(seed=drawn)
