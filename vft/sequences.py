"""Batches of whole sequences as features: the moments of procedures, or the clips of patients."""
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vft import evaluate, features, forward, tasks
from vft.data import pipeline
from vft.data.sequences import Sequences
from vft.errors import ConfigError, DataError
from vft.features import Features

SHORTEST = 64  # moments or clips to which sequences are filled up


def check(config: ConfigDict, blocks: tuple[str, ...]) -> None:
  """Raises ConfigError where the trunk would have to pass all of a sequence in every step."""
  if blocks or not config.features.cache:
    trains = ", ".join(blocks) or "none of its blocks"
    raise ConfigError(
        f"config.sequence.unit={config.sequence.unit!r} trains a head on kept features of whole sequences: the trunk "
        f"must be frozen and config.features.cache True, but {trains} trains and cache is {config.features.cache}.\n"
        "Train the trunk in a run of its own, with --config.sequence.unit=clip, or freeze it.")


def train_batches(kept: Features, manifest: Sequences, config: ConfigDict, *,
                  start_step: int) -> Iterator[dict[str, Any]]:
  """Endless batches of config.train.batch sequences, a function of (seed, step) alone. Raises DataError if too few.

  {"tokens": (B, 1, S, D), "present": (B, 1, S), "label": {task: (B, ...)}, "row": (B,), "mask": (B,)} of patients; of
  videos label, row and mask are (B, S), and the mask leaves out moments without any label.
  """
  chosen, size = manifest.sequences("train"), config.train.batch
  if len(chosen) < size:
    raise DataError(f"{len(chosen)} training {manifest.unit}s are fewer than a batch of {size}; type "
                    f"--config.train.batch={max(1, len(chosen))}.")
  sample, step = train_samples(manifest, config), start_step
  while True:
    yield train_batch(kept, manifest, [sample(g) for g in range(step * size, (step + 1) * size)])
    step += 1


def train_samples(manifest: Sequences, config: ConfigDict) -> Callable[[int], tuple[int, int]]:
  """Sample g of training -> (sequence, copy): patients as clips are ordered, videos each once an epoch."""
  if manifest.unit == "patient":
    return features.train_samples(manifest, config)
  chosen, copies = manifest.sequences("train"), config.augment.copies if config.augment.enabled else 1
  order = pipeline.Order(len(chosen), config.seed)
  return lambda g: (int(chosen[order[g]]), g // len(chosen) % max(copies, 1))


def train_batch(kept: Features, manifest: Sequences, samples: list[tuple[int, int]]) -> dict[str, Any]:
  """These samples, filled up to one length; of videos without moments that have no label."""
  batch = _batch(kept, manifest, [sequence for sequence, _ in samples], [copy for _, copy in samples], len(samples))
  if manifest.unit == "video":
    batch["mask"] &= np.any([_known(t, batch["label"][t.name]) for t in manifest.tasks], axis=0)
  return batch


def eval_batches(kept: Features, manifest: Sequences, split: str, size: int) -> Iterator[dict[str, Any]]:
  """The sequences of a split in order, `size` at a time; the last batch is filled with row -1, masked."""
  chosen = manifest.sequences(split).tolist()
  for start in range(0, len(chosen), size):
    part = chosen[start:start + size]
    yield _batch(kept, manifest, part, [0] * len(part), size)


def predict(model: Any, state: Any, pixels: forward.Pixels, manifest: Sequences, config: ConfigDict,
            mesh: jax.sharding.Mesh, *, keep: bool = False) -> tuple[evaluate.Predictions, set[int]]:
  """Outputs of the test sequences of a manifest, and the rows of `shown` that cannot be decoded.

  `keep`: their features, where those of the run are; else nothing is kept.
  """
  config = config.copy_and_resolve_references()
  with contextlib.ExitStack() as undo:
    if not keep:
      config.features.dir = undo.enter_context(tempfile.TemporaryDirectory(prefix="vft-features-"))
      config.data.workers = 0  # a process more would cost 0.4 GB, and takes seconds to start
    kept = features.compute(model, state.params, state.batch_stats, manifest.shown, config, manifest.clip_rows("test"),
                            views=config.eval.views, train=False, mesh=mesh, tick=lambda done, total: None)
  size = jax.device_count()
  batches = eval_batches(kept, manifest, "test", size) if kept.tokens else ()
  return evaluate.predict(model, state.best_params, state.batch_stats, pixels, manifest.tasks, batches,
                          mesh), kept.failed


def _batch(kept: Features, manifest: Sequences, chosen: list[int], copies: list[int], size: int) -> dict[str, Any]:
  width = next(iter(kept.tokens.values())).shape[-1]
  vectors = [_vectors(kept, manifest.members[i], copy) for i, copy in zip(chosen, copies, strict=True)]
  length = _filled(max(len(there) for _, there in vectors))
  tokens, present = np.zeros((size, 1, length, width), np.float32), np.zeros((size, 1, length), bool)
  moments = manifest.unit == "video"
  rows = np.full((size, length if moments else 1), -1, np.int32)
  for place, (i, (values, there)) in enumerate(zip(chosen, vectors, strict=True)):
    tokens[place, 0, :len(values)], present[place, 0, :len(there)] = values, there
    answered = manifest.answered(i)
    rows[place, :len(answered)] = answered
  mask = (rows >= 0) & (present[:, 0] if moments else present[:, 0].any(axis=1, keepdims=True))
  labels = {name: _missing(found.reshape(*rows.shape, *found.shape[1:]), rows < 0)
            for name, found in manifest.labels(np.maximum(rows, 0).ravel()).items()}
  if not moments:
    rows, mask, labels = rows[:, 0], mask[:, 0], {name: found[:, 0] for name, found in labels.items()}
  return {"tokens": tokens, "present": present, "label": labels, "row": rows, "mask": mask}


def _vectors(kept: Features, rows: np.ndarray, copy: int) -> tuple[np.ndarray, np.ndarray]:
  """Clips of a sequence -> their vectors (S, D), each view one of them, and whether they are there (S,)."""
  empty = np.zeros_like(next(iter(kept.tokens.values())))
  values = np.stack([kept.tokens.get((int(row), copy), empty) for row in rows])  # (S, V, 1, D)
  there = np.array([(int(row), copy) in kept.tokens for row in rows])
  return values.reshape(-1, values.shape[-1]), np.repeat(there, values.shape[1])


def _filled(length: int) -> int:
  """The next of 64, 96, 128, 192, ...: few lengths to compile for, and never more than half of them empty."""
  size = SHORTEST
  while size < length:
    size = size * 3 // 2 if size & (size - 1) == 0 else size * 4 // 3
  return size


def _known(task: tasks.Task, labels: np.ndarray) -> np.ndarray:
  """Labels (B, S, ...) -> (B, S) bool."""
  return tasks.known(task, labels.reshape(-1, *labels.shape[2:])).reshape(labels.shape[:2])


def _missing(labels: np.ndarray, where: np.ndarray) -> np.ndarray:
  """Labels (B, S, ...) with the mark of a missing one `where` (B, S)."""
  labels = labels.copy()
  labels[where] = np.nan if labels.dtype.kind == "f" else -1
  return labels
