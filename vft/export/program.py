"""The best model of a run as one function of its arrays and of decoded clips, crop to probabilities."""
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export
from ml_collections import ConfigDict

from vft import evaluate, forward, lora, objective, startup
from vft.data import manifest as manifests
from vft.data import pipeline
from vft.errors import RunError, VftError
from vft.tasks import Task

CLIPS = 8  # that an export is checked on
MOST = 1e-4  # by which a probability, or a number in standard deviations, may differ
Call = Callable[..., Any]
Flat = dict[str, Any]


class Program(NamedTuple):
  """call(weights, video (B, T, R, R, 3) uint8) -> {task: (B, K)} of objective.values; shape is (T, R, R, 3).

  `one` does the same for B = 1, without a loop.
  """
  weights: dict[str, np.ndarray]
  call: Callable[[Mapping[str, Any], Any], dict[str, jax.Array]]
  one: Callable[[Mapping[str, Any], Any], dict[str, jax.Array]]
  shape: tuple[int, ...]

  def parts(self) -> dict[str, tuple[Call, tuple[jax.ShapeDtypeStruct, ...]]]:
    """{name: (a function of the weights and of arrays, those arrays)}: what is exported."""
    return {"program": (self.call, (clips(self.shape),))}

  def answers(self, calls: Mapping[str, Call], video: np.ndarray) -> dict[str, jax.Array]:
    """What the parts, their weights given, say of clips (B, T, R, R, 3)."""
    return calls["program"](video)


def clips(shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
  """Any number of them."""
  return jax.ShapeDtypeStruct((*export.symbolic_shape("clips"), *shape), np.uint8)


def arrays(begin: startup.Prepared) -> tuple[Flat, Callable[[Mapping[str, Any]], tuple[Flat, Flat]]]:
  """All weights, LoRA's folded into the kernels, and what divides them into parameters and statistics.

  `begin.state` holds the parameters that are exported as its best.
  """
  params, stats = lora.fold(begin.state.best_params, begin.model.lora_alpha), begin.state.batch_stats

  def divide(weights: Mapping[str, Any]) -> tuple[Flat, Flat]:
    return {name: weights[name] for name in params}, {name: weights[name] for name in stats}
  return {name: np.asarray(x) for name, x in {**params, **stats}.items()}, divide


def make(config: ConfigDict, tasks: tuple[Task, ...], begin: startup.Prepared) -> Program:
  """From pixels to what is reported."""
  model, (weights, divide) = begin.model.clone(remat="none"), arrays(begin)

  def one(weights: Mapping[str, Any], video: Any) -> dict[str, jax.Array]:
    logits, _ = forward.logits(model, *divide(weights), {"video": video[:, None]}, begin.pixels)
    return {t.name: objective.values(t, logits[t.name])[:, 0] for t in tasks}

  def call(weights: Mapping[str, Any], video: Any) -> dict[str, jax.Array]:
    # One by one: lowerings for CPUs choose by the number of clips, unknown here.
    return jax.lax.map(lambda clip: {name: x[0] for name, x in one(weights, clip[None]).items()}, video)
  d = config.data
  return Program(weights, call, one, (d.num_frames, d.resize, d.resize, 3))


def find_clips(config: ConfigDict, folder: Path) -> tuple[np.ndarray, str]:
  """(B, T, R, R, 3) uint8, at most CLIPS of the test split, and what they are; noise where the data is not there."""
  here = config.copy_and_resolve_references()
  here.data.workers = 0  # too few for processes of their own
  try:
    manifest = manifests.load(folder / "manifest.csv", here)
    rows = manifest.rows("test")[:CLIPS]
    batch = next(iter(pipeline.eval_batches(manifest, here, rows, batch=len(rows), views=1)))
    video = batch["video"][batch["mask"], 0]
    if len(video):
      return video, f"{len(video)} clips of the test split"
  except (VftError, OSError, StopIteration):
    pass
  d = config.data
  shape = (CLIPS, d.num_frames, d.resize, d.resize, 3)
  return (np.random.default_rng(0).integers(0, 256, shape, np.uint8),
          f"{CLIPS} clips of noise, since the videos of the run are not on this machine")


def check(tasks: tuple[Task, ...], begin: startup.Prepared, video: np.ndarray, found: Mapping[str, Any]) -> float:
  """The largest difference between `found` and what the run says of the clips. Raises RunError as `gap`."""
  params, stats = (jax.tree.map(np.asarray, dict(x)) for x in (begin.state.best_params, begin.state.batch_stats))
  batch = {"video": video[:, None]}
  return gap(tasks, evaluate.view_sums(begin.model, params, stats, batch, begin.pixels, tasks), found)


def gap(tasks: tuple[Task, ...], want: Mapping[str, Any], found: Mapping[str, Any]) -> float:
  """The largest difference between two answers. Raises RunError over MOST."""
  gaps = {t.name: float(np.abs(np.asarray(found[t.name]) - np.asarray(want[t.name])).max())
          / (t.std if t.kind == "regression" else 1.0) for t in tasks}
  worst = max(gaps, key=gaps.__getitem__)
  if not gaps[worst] <= MOST:
    raise RunError(f"The export differs from the run by {gaps[worst]:.2g} in {worst!r}; at most {MOST:g} "
                   "was expected, so nothing was written.\nTry --config.model.dtype=float32 in a new run, or "
                   "report it with the version of vft.")
  return gaps[worst]
