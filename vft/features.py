"""Features once: where only head/ trains, each clip and view passes the frozen trunk once and is kept on disk."""
import contextlib
import hashlib
import json
import logging
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vft import distributed, forward, sharding, trees
from vft.data import pipeline, readers, sampling
from vft.data.augment import mix
from vft.data.manifest import Manifest
from vft.errors import ConfigError

VERSION = 2  # raise it when decoding, cropping or pooling changes what is stored
CHUNK = 16  # batches a file


@partial(jax.jit, static_argnames=("model", "pixels", "train", "mesh"))
def _pass(model: Any, params: Any, batch_stats: Any, batch: Any, pixels: forward.Pixels, train: bool,
          mesh: jax.sharding.Mesh) -> jax.Array:
  return forward.pooled_tokens(model, sharding.gathered(params, mesh), batch_stats, batch, pixels, train)


@dataclass
class Features:
  """Tokens (V, N, D) float32 of (row, copy); a clip that could not be decoded is absent and its row listed."""
  tokens: dict[tuple[int, int], np.ndarray]
  failed: set[int] = field(default_factory=set)
  new: int = 0  # how many passed the trunk now; the others came from the disk

  def batch(self, rows: np.ndarray, copies: np.ndarray, labels: dict[str, np.ndarray],
            mask: np.ndarray) -> dict[str, Any]:
    """A batch of tokens (B, V, N, D); absent clips and padding are zero and masked."""
    keys = list(zip(rows.tolist(), copies.tolist(), strict=True))
    empty = np.zeros_like(next(iter(self.tokens.values())))
    tokens = np.stack([self.tokens.get(k, empty) for k in keys])
    have = np.array([k in self.tokens for k in keys])
    return {"tokens": tokens, "label": labels, "row": rows.astype(np.int32),
            "copy": copies.astype(np.int32), "mask": mask & have}


def trunk_identity(model: Any, config: ConfigDict, params: Mapping[str, Any], batch_stats: Mapping[str, Any]) -> str:
  """Digest of the trunk: family, version, variant, options, arithmetic and every array of it."""
  trunk = sharding.fetch({k: v for k, v in {**params, **batch_stats}.items() if not k.startswith("head/")})
  m = config.model
  said = [VERSION, model.version, m.name, m.variant, m.dtype, model.spec.keeps, m.options.to_dict(),
          trees.sha256(trunk)]
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]


def clip_key(manifest: Manifest, config: ConfigDict, pixels: forward.Pixels, row: int, copy: int, views: int,
             train: bool) -> str:
  """Digest of all that decides a clip's pixels: source bytes, frame times, decoding, cropping, augmentation."""
  entry, d, sampler = manifest.table.iloc[row], config.data, sampling.Sampler.make(config.data)
  times = [sampler.times(entry.duration_s, start_s=entry.start_s, end_s=entry.end_s, view=v, views=views).tolist()
           for v in range(views)]
  reading = {**readers.options(d), "max_pixels": 0}  # a limit changes no pixel
  said = [entry.sha256, times, d.resize, reading, pixels.size, pixels.channels, pixels.mean, pixels.std]
  if not train and config.eval.crops > 1:
    said += [config.eval.crops]
  if train and pixels.augment is not None:  # drawn from (seed, row, copy)
    said += [pixels.augment, config.augment.time_jitter, d.sampling, pixels.seed, row, copy]
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()


class Store:
  """Files of {keys (n,), tokens (n, V, N, D)} in a folder; written whole or not at all, so any number may write."""

  def __init__(self, folder: Path):
    self.folder = folder
    folder.mkdir(parents=True, exist_ok=True)
    self._pending: dict[str, np.ndarray] = {}

  def load(self, keys: Iterable[str]) -> dict[str, np.ndarray]:
    """Those of the keys that are stored."""
    wanted, found = set(keys), {}
    for path in sorted(self.folder.glob("*.npz")):
      try:
        with path.open("rb") as opened, np.load(opened) as file:
          names, tokens = file["keys"], file["tokens"]
      except (OSError, ValueError, zipfile.BadZipFile, KeyError) as e:
        logging.warning("damaged feature file %s removed (%s); its clips are computed again", path, e)
        path.unlink()
        continue
      found.update({k: tokens[i] for i, k in enumerate(names.tolist()) if k in wanted})
    return found

  def add(self, key: str, tokens: np.ndarray) -> None:
    """Keeps a clip for the next `flush`."""
    self._pending[key] = tokens

  def flush(self) -> None:
    """Writes what was added."""
    if self._pending:
      keys = sorted(self._pending)
      path = self.folder / f"{hashlib.sha256(''.join(keys).encode()).hexdigest()[:24]}.npz"
      partial_path = path.with_suffix(f".{os.getpid()}.tmp")
      with partial_path.open("wb") as file:
        np.savez(file, keys=np.array(keys), tokens=np.stack([self._pending[k] for k in keys]))
      partial_path.replace(path)
      self._pending = {}


def check_size(clips: int, views: int, tokens: int, width: int, config: ConfigDict, folder: Path) -> int:
  """Bytes that the features will take. Raises ConfigError when that is over cache_max_gb or the free space."""
  size = clips * views * tokens * width * 4
  free = shutil.disk_usage(folder).free
  if size > config.features.cache_max_gb * 1e9 or size > free:
    raise ConfigError(f"The features would take {size / 1e9:.1f} GB in {folder}; config.features.cache_max_gb allows "
                      f"{config.features.cache_max_gb:g} GB and {free / 1e9:.1f} GB are free.\nRaise it, give another "
                      "--config.features.dir, or train without them: --config.features.cache=False.")
  return size


def compute(model: Any, params: Mapping[str, Any], batch_stats: Mapping[str, Any], manifest: Manifest,
            config: ConfigDict, rows: np.ndarray, *, views: int, train: bool, mesh: jax.sharding.Mesh,
            tick: Callable[[int, int], None]) -> Features:
  """Features of rows, from the disk where they are, else by one pass of the trunk.

  Args:
    rows: of the manifest.
    views: clips per video.
    train: whether the clips are augmented (then config.augment.copies of each).
    tick: called as tick(done, todo) after every batch.
  """
  pixels = forward.make_pixels(config, model)
  augmented = train and pixels.augment is not None
  copies, crops = config.augment.copies if augmented else 1, 1 if train else config.eval.crops
  if train and mix.make(config.augment):
    raise ConfigError("config.augment.mixup and cutmix blend the pixels of a batch, anew in every step; features on "
                      "disk know nothing of that.\nSet both to 0, or type --config.features.cache=False.")
  if not copies:
    raise ConfigError("A new augmented view each epoch (config.augment.copies = 0) cannot be kept on disk.\n"
                      "Give a number, such as --config.augment.copies=4, or train on the clips by "
                      "--config.features.cache=False.")
  folder = Path(config.features.dir or "~/.cache/vft/features").expanduser()
  store = Store(folder / trunk_identity(model, config, params, batch_stats))
  keys = {(int(r), c): clip_key(manifest, config, pixels, int(r), c, views, train) for r in rows for c in range(copies)}
  stored = store.load(keys.values())
  out = Features({k: stored[key] for k, key in keys.items() if key in stored})
  lacking = sorted({r for r, c in keys if (r, c) not in out.tokens})
  missing = np.array(sorted(set().union(*distributed.gather(lacking))), np.int64)  # every host has a disk of its own
  batch = -(-config.features.batch // jax.device_count()) * jax.device_count()
  if not len(missing):
    return out
  batches = pipeline.eval_batches(manifest, config, missing, batch=batch, views=views, crops=crops,
                                  copies=copies if augmented else None, process=sharding.process())
  with contextlib.closing(batches):  # ends the decoding processes
    for number, clips in enumerate(batches):
      parts = []
      for part in forward.clip_parts(clips):
        on_device = [sharding.put_batch(seen, mesh) for seen in forward.view_chunks(part, config.eval.chunk)]
        if not number and not parts:
          shape = _pass.eval_shape(model, params, batch_stats, on_device[0], pixels, train, mesh).shape
          check_size(len(missing) * copies, views * crops, shape[2], shape[3], config, folder)
        found = [sharding.fetch(_pass(model, params, batch_stats, x, pixels, train, mesh)) for x in on_device]
        parts.append(np.concatenate(found, axis=1))
      clips, tokens = _together(clips, parts)
      named = zip(clips["row"].tolist(), clips["copy"].tolist(), clips["mask"], tokens, strict=True)
      for row, copy, good, value in named:
        if good:
          store.add(keys[row, copy], value)
          out.tokens[row, copy] = value
          out.new += 1
        elif row >= 0:
          out.failed.add(row)
      if number % CHUNK == CHUNK - 1:
        store.flush()
      tick(min((number + 1) * batch, len(missing) * copies), len(missing) * copies)
  store.flush()
  return out


def _together(clips: Mapping[str, Any], parts: list[np.ndarray]) -> tuple[Mapping[str, Any], np.ndarray]:
  """row, copy and mask of the clips of all processes, and tokens in that order; `parts` hold those of all."""
  if distributed.count() == 1:
    return clips, np.concatenate(parts)
  named = [np.stack(distributed.gather(clips[k].tolist())) for k in ("row", "copy", "mask")]
  processes = len(named[0])
  tokens = np.concatenate([part.reshape(processes, -1, *part.shape[1:]) for part in parts], axis=1)
  return dict(zip(("row", "copy", "mask"), (x.reshape(-1) for x in named), strict=True)), tokens.reshape(
      -1, *tokens.shape[2:])


def summary(*parts: Features) -> dict[str, int]:
  """What features.json holds: clips, how many of them were computed now, and their bytes."""
  return {"clips": sum(len(p.tokens) for p in parts), "computed": sum(p.new for p in parts),
          "bytes": sum(t.nbytes for p in parts for t in p.tokens.values())}


def train_samples(manifest: Manifest, config: ConfigDict) -> Callable[[int], tuple[int, int]]:
  """Sample g of training -> (row, copy), in the order of `pipeline.train_batches`."""
  order = pipeline.TrainOrder.make(manifest, config)
  return order if config.augment.enabled else lambda g: (order(g)[0], 0)  # those not augmented are all alike


def train_batch(features: Features, manifest: Manifest, samples: Sequence[tuple[int, int]]) -> dict[str, Any]:
  """These samples as tokens."""
  rows, copies = np.array(samples).T
  return features.batch(rows, copies, manifest.labels(rows), np.ones(len(rows), bool))


def train_batches(features: Features, manifest: Manifest, config: ConfigDict, *,
                  start_step: int) -> Iterator[dict[str, Any]]:
  """The same clips in the same order as `pipeline.train_batches`, as tokens."""
  size, sample, step = config.train.batch, train_samples(manifest, config), start_step
  while True:
    yield train_batch(features, manifest, [sample(g) for g in range(step * size, (step + 1) * size)])
    step += 1


def eval_batches(features: Features, manifest: Manifest, split: str, size: int) -> Iterator[dict[str, Any]]:
  """Rows of a split in order as tokens; the last batch is padded with row -1 and masked."""
  rows = manifest.rows(split)
  for start in range(0, len(rows), size):
    chosen = rows[start:start + size]
    pad = size - len(chosen)
    labels = {task: np.pad(a, [(0, pad)] + [(0, 0)] * (a.ndim - 1)) for task, a in manifest.labels(chosen).items()}
    yield features.batch(np.pad(chosen, (0, pad), constant_values=-1), np.zeros(size, int), labels,
                         np.arange(size) < len(chosen))
