"""What happens after a step: write figures, validate and save, stop when asked. Each is called as hook(step, ...)."""
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vft.errors import ConfigError, did_you_mean
from vft.progress import Clock
from vft.saver import Saver
from vft.train import TrainState
from vft.writer import Writer

SMALLER = ("loss", "mae", "rmse", "ece", "brier")  # figures of which less is better
Stop = Callable[[], None]  # raises when the run has been asked to stop


class LogHook:
  """Training figures every `train.log_every` steps, as sums over the steps since the last line."""

  def __init__(self, writer: Writer, clock: Clock, config: ConfigDict):
    self._writer, self._clock, self._every, self._size = writer, clock, config.train.log_every, config.train.batch
    self._sums, self._since, self._steps = None, time.monotonic(), 0

  def __call__(self, step: int, state: TrainState, sums: Any, batch: Any) -> None:
    self._sums = sums if self._sums is None else self._sums.merge(sums)
    self._steps += 1
    if step % self._every:
      return
    figures = {k: float(v) for k, v in self._sums.compute().items()}
    rate = self._steps * self._size / (time.monotonic() - self._since)
    self._writer.write(step, "train", {**figures, "clips_per_s": rate})
    self._writer.progress(step, loss=figures["loss"], clips_per_s=rate, causes=self._clock.text())
    self._sums, self._since, self._steps = None, time.monotonic(), 0


class EvalHook:
  """Validation every `train.eval_every` epochs and at the end, then a checkpoint with its score."""

  def __init__(self, writer: Writer, clock: Clock, config: ConfigDict, validate: Callable[[Any], Any], saver: Saver,
               until: int, steps_per_epoch: int, classes: Mapping[str, Sequence[str]]):
    self._writer, self._clock, self._validate, self._saver, self._classes = writer, clock, validate, saver, classes
    self._select, self._until, self._every = config.train.select, until, config.train.eval_every * steps_per_epoch

  def __call__(self, step: int, state: TrainState, sums: Any, batch: Any) -> None:
    if step % self._every and step != self._until:
      return
    with self._clock("eval"):
      figures, confusion = self._validate(state)
      self._writer.write(step, "val", figures)
      for task, matrix in confusion.items():
        self._writer.confusion(step, "val/confusion" if task == "label" else f"val/confusion/{task}",
                               np.asarray(matrix), self._classes[task])
    with self._clock("save"):
      self._saver.save(state, score(figures, self._select))


def check_select(figures: Mapping[str, float | None], select: str) -> None:
  """Raises ConfigError for a figure that is not among those of a validation."""
  if select not in figures:
    why = "" if any(k.startswith("patient/") for k in figures) else (
        "\nThere are none of patients, since the data has no groups, or a patient's clips have different labels.")
    raise ConfigError(f"config.train.select is {select!r}, which validation does not give"
                      f"{did_you_mean(select, figures)}\nIt gives: {', '.join(figures)}.{why}")


def score(figures: Mapping[str, float | None], select: str) -> float:
  """The figure that 'best' means, larger is better. Raises ConfigError for one that is not known or not defined."""
  check_select(figures, select)
  value = figures[select]
  if value is None:
    raise ConfigError(f"config.train.select is {select!r}, which is not defined on this validation split (such as "
                      f"auroc with one class); defined: {', '.join(k for k, v in figures.items() if v is not None)}.")
  return -value if smaller(select) else value


def smaller(select: str) -> bool:
  """Whether less of a figure is better."""
  return select.rsplit("/", 1)[-1] in SMALLER


def waited(scores: Sequence[float], patience: int) -> bool:
  """Whether the last `patience` validations were not better than the best before them; never for 0."""
  return 0 < patience < len(scores) and max(scores[-patience:]) <= max(scores[:-patience])


class StopHook:
  """Saves and stops when the run has been asked to (SIGINT, SIGTERM)."""

  def __init__(self, stop: Stop, saver: Saver):
    self._stop, self._saver = stop, saver

  def __call__(self, step: int, state: TrainState, sums: Any, batch: Any) -> None:
    try:
      self._stop()
    except BaseException:
      self._saver.save(state, None)
      raise


class Tick:
  """Progress of a pass over the features, from now on."""

  def __init__(self, writer: Writer, stop: Stop):
    self._writer, self._stop, self._since = writer, stop, time.monotonic()

  def __call__(self, done: int, total: int) -> None:
    self._writer.status(f"features {done}/{total} clips", done / max(time.monotonic() - self._since, 1e-9), done, total)
    self._stop()


def montage(videos: np.ndarray) -> np.ndarray:
  """Clips (B, T, H, W, 3) in 0..1 -> (B, H, 4 W, 3) uint8: four frames of each, side by side."""
  picked = videos[:, np.linspace(0, videos.shape[1] - 1, 4).round().astype(int)]
  return np.concatenate(list(np.clip(picked * 255, 0, 255).astype(np.uint8).swapaxes(0, 1)), axis=2)

