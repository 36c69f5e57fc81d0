"""A run's state to and from its checkpoints: what trains, and what identifies the base and the data."""
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from vft import optim, sharding, stages
from vft.checkpoint import Checkpoints, pack, unpack_opt_state
from vft.errors import WeightsError
from vft.stages import Stage
from vft.train import TrainState


class Saver:
  """Checkpoints of one run.

  Args:
    folder: of the checkpoints.
    run: its stages. A checkpoint holds what trains and moves in its stage.
    base: first values of parameters and statistics, of which those that thaw later are kept on the host: a checkpoint
      of an earlier stage does not hold them.
    loaded: names whose values came from the base weights; the others are in every checkpoint.
    identity: what must be the same to go on: {"base": ..., "manifest": ..., "classes": ...}.
  """

  def __init__(self, folder: Path, run: Sequence[Stage], base: Mapping[str, Any], loaded: frozenset[str],
               identity: Mapping[str, Any]):
    self.store, self._run, self._identity, self._last = Checkpoints(folder), run, identity, -1
    self._saved = [stage.trained | stage.moved | (set(base) - loaded) for stage in run]
    self._thawing = {name: base[name] for name in self._saved[-1] - self._saved[0]}
    self.scores: list[float] = []  # of the validations so far, larger is better
    self.after: Callable[[int], None] = lambda step: None  # called when a step has been saved

  def check_room(self, state: TrainState) -> None:
    """Raises RunError where the disk has no room for checkpoints of the last stage, the largest."""
    stage = self._run[-1]
    opt_state = jax.eval_shape(stage.tx.init, dict(state.params))
    ema = {name: state.params[name] for name in stage.trained} if state.ema else {}
    leaves = jax.tree.leaves(self._pack(replace(state, opt_state=opt_state, ema=ema), stage.number))
    self.store.check_room(sum(x.size * x.dtype.itemsize for x in leaves))

  def save(self, state: TrainState, score: float | None) -> None:
    """Saves a state once; `score` of the validation, larger is better, or None where it was not validated."""
    step = int(state.step)
    if step != self._last:
      self.scores += [] if score is None else [float(score)]
      number = stages.of(self._run, step).number
      metadata = {**self._identity, "stage": number, "scores": self.scores}
      self.store.save(step, self._pack(state, number), metadata, score)
      self._last = step
      self.after(step)

  def restore(self, state: TrainState, step: int | None) -> TrainState:
    """A saved step over the first values, as of its stage; the same state for None.

    Raises WeightsError where base or data differ.
    """
    if step is None:
      return state
    saved = self.store.metadata(step)
    for key, want in self._identity.items():
      if saved[key] != want:
        raise WeightsError(f"The checkpoint of step {step} in {self.store.folder} belongs to another {key}:\n"
                           f"  in the checkpoint: {saved[key]}\n  in this run:       {want}\n"
                           "Bring the old one back, or give another --workdir.")
    stage = self._run[saved["stage"]]
    opt_state = optim.first_state(stage.tx, state.params)
    ema = {name: state.params[name] for name in stage.trained} if state.ema else {}
    found = self.store.restore(step, self._pack(replace(state, opt_state=opt_state, ema=ema), stage.number))
    self._last, self.scores = step, saved["scores"]
    frozen = {name: value for name, value in self._thawing.items() if name not in self._saved[stage.number]}

    def laid(now: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
      first = {name: sharding.put_at(value, now[name].sharding) for name, value in frozen.items() if name in now}
      return {**now, **first, **values}
    return TrainState(jnp.asarray(step, jnp.int32), laid(state.params, found["params"]),
                      laid(state.batch_stats, found["batch_stats"]), unpack_opt_state(opt_state, found["opt_state"]),
                      found["ema"])

  def _pack(self, state: TrainState, stage: int) -> dict[str, Any]:
    return {**pack(state.params, state.batch_stats, state.opt_state, frozenset(self._saved[stage])), "ema": state.ema}
