"""Batches of clips, decoded in worker processes by grain. What is in a batch is a function of (seed, step) alone.

No pandas here at run time, and none in the sources: a worker process imports this module before its first clip.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, cast

import grain
import numpy as np
from absl import flags

from vft import tasks
from vft.data import guard
from vft.data.clip_cache import ClipCache
from vft.data.clip_reader import Batch, ClipReader
from vft.errors import ConfigError, DataError

if TYPE_CHECKING:
  from ml_collections import ConfigDict

  from vft.data.manifest import Manifest

NEVER = 1 << 62  # bytes


class Batches(Protocol):
  """An iterator that should be closed, to end its worker processes."""

  def __iter__(self) -> Iterator[Batch]: ...
  def __next__(self) -> Batch: ...
  def close(self) -> None: ...


class Order:
  """Item g is the place (0 to n - 1) of sample g; each epoch, g // n, is a permutation anew. Of (seed, g) alone.

  grain's own shuffle needs 65536 / n tries an item for small n: 10 ms each for the classes of a balanced sampler.
  """

  def __init__(self, n: int, *seed: int):
    self._n, self._seed, self._last = n, seed, (-1, np.zeros(0, np.int64))

  def __getitem__(self, g: int) -> int:
    if self._n == 1:  # every item begins an epoch, and a draw for each would cost more than a step of a small head
      return 0
    epoch, item = divmod(g, self._n)
    last = self._last  # epoch and places in one, since threads share this
    if last[0] != epoch:
      last = self._last = epoch, np.random.default_rng((epoch, *self._seed)).permutation(self._n)
    return int(last[1][item])


@dataclasses.dataclass(frozen=True)
class TrainOrder:
  """Sample g = step * batch + j of training -> (row, copy): a function of g and the seed alone. Small and picklable.

  Shuffled, all clips are one part. Balanced, each class is one: of every K samples each of K classes has one, in an
  order drawn anew, and each class walks through an order of its clips of its own. A part starts its next copy when all
  its clips have been shown. Each clip comes config.augment.repeats times in a row.
  """
  parts: list[np.ndarray]  # rows
  turns: Order  # which part
  within: list[Order]  # which of its rows
  repeats: int
  copies: int  # 0 = always a new one

  @classmethod
  def make(cls, manifest: Manifest, config: ConfigDict) -> TrainOrder:
    rows, augment = manifest.rows("train"), config.augment
    parts, seeds = [rows], [(config.seed,)]
    if config.data.sampler == "balanced":
      task = tasks.first_with_classes(manifest.tasks)
      assert task is not None, "config.check asks for a task with classes"
      labels = manifest.labels(rows)[task.name]
      parts = [rows[labels == c] for c in np.unique(labels[labels >= 0])]  # a clip without this label has no turn
      seeds = [(config.seed, i + 1) for i in range(len(parts))]
    return cls(parts, Order(len(parts), config.seed), [Order(len(p), *s) for p, s in zip(parts, seeds, strict=True)],
               augment.repeats if augment.enabled else 1, augment.copies)

  def __call__(self, g: int) -> tuple[int, int]:
    item, repeat = divmod(g, self.repeats)
    part, turn = self.turns[item], item // len(self.parts)
    rows = self.parts[part]
    copy = turn // len(rows) * self.repeats + repeat
    return int(rows[self.within[part][turn]]), copy % self.copies if self.copies else copy


def train_batches(manifest: Manifest, config: ConfigDict, *, batch: int, start_step: int,
                  process: tuple[int, int] = (0, 1), cache: ClipCache | None = None) -> Batches:
  """Endless full training batches from `start_step` on; process p of P gets the p-th part of each.

  {"video": (B, 1, T, R, R, 3) uint8, "time_s": (B, 1, T), "label": {task: (B, ...)}, "row": (B,) int32,
  "copy": (B,) int32, "mask": (B,) bool} with B = batch / P and R = data.resize. A clip that cannot be decoded is zeros
  with mask False. `cache` changes nothing but the speed. Raises DataError if there are fewer clips than `batch`.
  """
  rows = manifest.rows("train")
  if len(rows) < batch:
    raise DataError(f"{len(rows)} training clips are fewer than a batch of {batch}; expected at least {batch}: add "
                    f"videos, or type --config.train.batch={max(1, len(rows))}.")

  def sample(g: int) -> tuple[int, int, bool]:
    return *places(g), True

  places = TrainOrder.make(manifest, config)
  samples = grain.MapDataset.range(NEVER).map(_Part(batch, process, sample))[start_step * (batch // process[1]):]
  read = ClipReader.make(manifest, config, 1, cache=cache)
  workers = config.data.workers if not cache or read.missing(train_samples(manifest, config)) else 0
  return _iterate(samples, read, batch, workers, process)


def train_samples(manifest: Manifest, config: ConfigDict) -> list[tuple[int, int, bool]]:
  """All (row, copy, training) that training shows, where there is a last copy."""
  copies = config.augment.copies if config.augment.enabled else 1
  return [(int(row), copy, True) for row in manifest.rows("train") for copy in range(max(copies, 1))]


def eval_batches(manifest: Manifest, config: ConfigDict, rows: np.ndarray, *, batch: int, views: int, crops: int = 1,
                 copies: int | None = None, process: tuple[int, int] = (0, 1),
                 cache: ClipCache | None = None) -> Batches:
  """Batches as in `train_batches` over `rows` in their order, each with `views` clips spread over its span.

  With three `crops` each of them comes three times, as in `readers.read_clip`: V = views x crops.

  The last batch is filled with row -1, mask False and zeros. With `copies` each row comes that often, one after the
  other, as copy 0, 1, ... with the start times of training: what a cache of augmented features needs.
  """
  if not len(rows):
    raise DataError("There are no clips to evaluate; expected at least one row.")
  repeats = copies or 1
  total = -(-len(rows) * repeats // batch) * batch

  def sample(g: int) -> tuple[int, int, bool]:
    place, copy = divmod(g, repeats)
    return (int(rows[place]), copy, copies is not None) if place < len(rows) else (-1, 0, False)

  samples = grain.MapDataset.range(total // process[1]).map(_Part(batch, process, sample))
  read = ClipReader.make(manifest, config, views, crops, cache)
  workers = config.data.workers if not cache or read.missing((int(row), 0, False) for row in rows) else 0
  return _iterate(samples, read, batch, workers, process)


@dataclasses.dataclass(frozen=True)
class _Part:
  """Item of process p of P -> its sample: of each batch those of the p-th of P contiguous parts."""
  batch: int
  process: tuple[int, int]
  sample: Callable[[int], tuple[int, int, bool]]

  def __call__(self, item: int) -> tuple[int, int, bool]:
    number, count = self.process
    part = self.batch // count
    return self.sample(item // part * self.batch + number * part + item % part)


def open_cache(manifest: Manifest, config: ConfigDict) -> ClipCache | None:
  """The cache that config.data asks for; raises ConfigError where the clips of all splits would not fit."""
  cache = ClipCache.make(config.data)
  if cache:
    held_out = [(int(row), 0, False) for split in ("val", "test") for row in manifest.rows(split)]
    views, crops, d = config.eval.views, config.eval.crops, config.data
    bytes_of_clip, size, missing = d.num_frames * d.resize**2 * 3, 0, 0
    for samples, v, c in ((train_samples(manifest, config), 1, 1), (held_out, views, crops)):
      read = ClipReader.make(manifest, config, v, c, cache)
      size += len(samples) * v * c * bytes_of_clip
      missing += read.missing(samples) * c * bytes_of_clip
    cache.prepare(size, missing, d.cache_max_gb)
  return cache


def _iterate(samples: grain.MapDataset, read: ClipReader, batch: int, workers: int,
             process: tuple[int, int]) -> Batches:
  """Batches whole before workers share them, so that their number changes nothing but the speed."""
  if batch % process[1]:
    raise ConfigError(f"A batch of {batch} clips cannot be shared evenly by {process[1]} processes; expected a "
                      f"multiple of {process[1]}, such as {-(-batch // process[1]) * process[1]}.")
  if not flags.FLAGS.is_parsed():  # grain's workers read its flags; notebooks and tests have parsed none
    flags.FLAGS.mark_as_parsed()
  threads = 0 if workers else 2  # in this process two threads make a batch each; a worker makes one at a time
  batches = samples.batch(batch // process[1]).map(guard.Noted(read)).to_iter_dataset(
      grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
  if workers:
    # Through pipes: they cost 10 ms a batch of 25 MB, but the 64 MB of shared memory in a container would overflow.
    batches = grain.experimental.WithOptionsIterDataset(batches, grain.experimental.DatasetOptions(min_shm_size=NEVER))
    batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2))
  return cast(Batches, guard.watched(iter(batches), read.source))
