"""The best model of a run over procedures or patients as two functions: the frozen trunk, the head over its vectors."""
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import export
from ml_collections import ConfigDict

from vft import evaluate, forward, objective, startup
from vft.data import manifest as manifests
from vft.data import pipeline, sequences
from vft.errors import VftError
from vft.export import program
from vft.export.program import Call
from vft.tasks import Task

COUNT, CLIPS = 2, 16  # sequences that an export is checked on, and clips of each
LONG = 1024  # vectors of a longer one, for the head alone
_tokens = jax.jit(forward.pooled_tokens, static_argnames=("model", "pixels", "train"))


class Sequence(NamedTuple):
  """trunk(weights, video (clips, T, R, R, 3) uint8) -> (clips, D), one by one; shape is (T, R, R, 3), width is D.

  head(weights, tokens (1, S, D), present (1, S) bool) -> {task: (S, K)} of objective.values, of a patient (1, K). As S
  is not known, a transformer holds all its scores: 7200 moments, two blocks of four heads took 3.1 GB and 7 s on a CPU.
  """
  weights: dict[str, np.ndarray]
  trunk: Callable[[Mapping[str, Any], Any], jax.Array]
  head: Callable[[Mapping[str, Any], Any, Any], dict[str, jax.Array]]
  shape: tuple[int, ...]
  width: int

  def parts(self) -> dict[str, tuple[Call, tuple[jax.ShapeDtypeStruct, ...]]]:
    """{name: (a function of the weights and of arrays, those arrays)}: what is exported."""
    (length,) = export.symbolic_shape("S")
    return {"trunk": (self.trunk, (program.clips(self.shape),)),
            "head": (self.head, (jax.ShapeDtypeStruct((1, length, self.width), np.float32),
                                 jax.ShapeDtypeStruct((1, length), bool)))}

  @staticmethod
  def answers(calls: Mapping[str, Call], videos: list[np.ndarray]) -> dict[str, np.ndarray]:
    """What the parts, their weights given, say of sequences of clips (S, T, R, R, 3), one after the other.

    At last comes what the head says of the first one's vectors over and over, some of them not there.
    """
    tokens = [np.asarray(calls["trunk"](video)) for video in videos]
    tokens.append(np.resize(tokens[0], (LONG, tokens[0].shape[-1])))
    there = [np.ones(len(x), bool) for x in tokens[:-1]] + [np.arange(LONG) % 5 > 0]
    found = [calls["head"](x[None], y[None]) for x, y in zip(tokens, there, strict=True)]
    return {task: np.concatenate([np.asarray(f[task]) for f in found]) for task in found[0]}


def make(config: ConfigDict, tasks: tuple[Task, ...], begin: startup.Prepared) -> Sequence:
  """From pixels to the vectors that features keep, and from them to what is reported."""
  model, (weights, divide), d = begin.model.clone(remat="none"), program.arrays(begin), config.data

  def one(weights: Mapping[str, Any], video: Any) -> jax.Array:
    return forward.pooled_tokens(model, *divide(weights), {"video": video[None, None]}, begin.pixels, False)[0, 0, 0]

  def trunk(weights: Mapping[str, Any], video: Any) -> jax.Array:
    return jax.lax.map(partial(one, weights), video)

  def head(weights: Mapping[str, Any], tokens: Any, present: Any) -> dict[str, jax.Array]:
    batch = {"tokens": tokens[:, None], "present": present[:, None]}
    logits, _ = forward.logits(model, *divide(weights), batch, begin.pixels)
    return {t.name: objective.values(t, logits[t.name]).reshape(-1, logits[t.name].shape[-1]) for t in tasks}
  shape = (d.num_frames, d.resize, d.resize, 3)
  return Sequence(weights, trunk, head, shape,
                  jax.eval_shape(one, weights, jax.ShapeDtypeStruct(shape, np.uint8)).shape[0])


def find_clips(config: ConfigDict, folder: Path) -> tuple[list[np.ndarray], str]:
  """Clips (S, T, R, R, 3) uint8 of test sequences, spread over each, and what they are; noise where they are away."""
  here, unit = config.copy_and_resolve_references(), config.sequence.unit
  here.data.workers = 0  # too few for processes of their own
  name, videos = {"video": "procedure"}.get(unit, unit), []
  try:
    manifest = sequences.make(manifests.load(folder / "manifest.csv", here), here)
    assert isinstance(manifest, sequences.Sequences)
    for rows in (manifest.members[i] for i in manifest.sequences("test")[:COUNT]):
      rows = rows[np.unique(np.linspace(0, len(rows) - 1, CLIPS).round().astype(int))]
      batch = next(iter(pipeline.eval_batches(manifest.shown, here, rows, batch=len(rows), views=1)))
      videos += [batch["video"][batch["mask"], 0]]
    if videos and all(map(len, videos)):
      return videos, (f"{sum(map(len, videos))} clips of {len(videos)} {name}{'s' if len(videos) > 1 else ''} of "
                      "the test split")
  except (VftError, OSError, StopIteration):
    pass
  d = config.data
  shape = (CLIPS, d.num_frames, d.resize, d.resize, 3)
  return ([np.random.default_rng(0).integers(0, 256, shape, np.uint8)],
          f"a {name} of {CLIPS} clips of noise, since the videos of the run are not on this machine")


def check(tasks: tuple[Task, ...], begin: startup.Prepared, videos: list[np.ndarray],
          found: Mapping[str, Any]) -> float:
  """The largest difference between `found` and what the run says of the sequences. Raises RunError as program.gap."""
  params, stats = (jax.tree.map(np.asarray, dict(x)) for x in (begin.state.best_params, begin.state.batch_stats))

  def trunk(video: np.ndarray) -> np.ndarray:
    parts = forward.clip_parts({"video": video[:, None], "row": np.arange(len(video))})
    found = [_tokens(begin.model, params, stats, part, begin.pixels, train=False)[:, 0, 0] for part in parts]
    return np.concatenate(found)

  def head(tokens: np.ndarray, present: np.ndarray) -> dict[str, jax.Array]:
    batch = {"tokens": tokens[:, None], "present": present[:, None]}
    said = evaluate.view_sums(begin.model, params, stats, batch, begin.pixels, tasks)
    return {task: x.reshape(-1, x.shape[-1]) for task, x in said.items()}
  return program.gap(tasks, Sequence.answers({"trunk": trunk, "head": head}, videos), found)
