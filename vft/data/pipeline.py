"""Batches of clips, decoded in worker processes by grain. What is in a batch is a function of (seed, step) alone.

No pandas here at run time, and none in the sources: a worker process imports this module before its first clip.
"""
from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Protocol, cast

import grain
import numpy as np
from absl import flags

from vft.data import readers, sampling
from vft.errors import ConfigError, DataError

if TYPE_CHECKING:
  from ml_collections import ConfigDict

  from vft.data.manifest import Manifest
  from vft.data.sources import Source

Batch = dict[str, Any]
NEVER = 1 << 62  # bytes


class Batches(Protocol):
  """An iterator that should be closed, to end its worker processes."""

  def __iter__(self) -> Iterator[Batch]: ...
  def __next__(self) -> Batch: ...
  def close(self) -> None: ...


def order(n: int, seed: int) -> grain.MapDataset[int]:
  """Item g is the place (0 to n - 1) of sample g = step * batch + j; each epoch, g // n, is shuffled anew."""
  return grain.MapDataset.range(n).seed(seed).shuffle().repeat()


def train_sample(g: int, n: int, augment: ConfigDict) -> tuple[int, int]:
  """Sample g = step * batch + j of n clips -> (item of `order`, copy): each clip `repeats` times in a row."""
  repeats = augment.repeats if augment.enabled else 1
  item, repeat = divmod(g, repeats)
  copy = item // n * repeats + repeat
  return item, copy % augment.copies if augment.copies else copy


def train_batches(manifest: Manifest, config: ConfigDict, *, batch: int, start_step: int,
                  process: tuple[int, int] = (0, 1)) -> Batches:
  """Endless full training batches from `start_step` on; process p of P gets places p::P of each global batch.

  {"video": (B, 1, T, R, R, 3) uint8, "time_s": (B, 1, T), "label": {task: (B, ...)}, "row": (B,) int32,
  "copy": (B,) int32, "mask": (B,) bool} with B = batch / P and R = data.resize. A clip that cannot be decoded is zeros
  with mask False. Raises DataError if there are fewer clips than `batch`.
  """
  rows = manifest.rows("train")
  if len(rows) < batch:
    raise DataError(f"{len(rows)} training clips are fewer than a batch of {batch}; expected at least {batch}: add "
                    f"videos, or type --config.train.batch={max(1, len(rows))}.")

  def sample(g: int) -> tuple[int, int, bool]:
    item, copy = train_sample(g, len(rows), config.augment)
    return int(rows[places[item]]), copy, True

  places = order(len(rows), config.seed)
  first, step = process
  samples = grain.MapDataset.range(NEVER).map(sample)[start_step * batch + first::step]
  return _iterate(samples, ClipReader.make(manifest, config, 1), batch, config.data.workers, process)


def eval_batches(manifest: Manifest, config: ConfigDict, rows: np.ndarray, *, batch: int, views: int, crops: int = 1,
                 copies: int | None = None, process: tuple[int, int] = (0, 1)) -> Batches:
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

  first, step = process
  samples = grain.MapDataset.range(total).map(sample)[first::step]
  return _iterate(samples, ClipReader.make(manifest, config, views, crops), batch, config.data.workers, process)


def _iterate(samples: grain.MapDataset, read: ClipReader, batch: int, workers: int,
             process: tuple[int, int]) -> Batches:
  """Batches whole before workers share them, so that their number changes nothing but the speed."""
  if batch % process[1]:
    raise ConfigError(f"A batch of {batch} clips cannot be shared evenly by {process[1]} processes; expected a "
                      f"multiple of {process[1]}, such as {-(-batch // process[1]) * process[1]}.")
  if not flags.FLAGS.is_parsed():  # grain's workers read its flags; notebooks and tests have parsed none
    flags.FLAGS.mark_as_parsed()
  threads = 0 if workers else 2  # in this process two threads make a batch each; a worker makes one at a time
  batches = samples.map(read).batch(batch // process[1]).to_iter_dataset(
      grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads))
  if workers:
    # Through pipes: they cost 10 ms a batch of 25 MB, but the 64 MB of shared memory in a container would overflow.
    batches = grain.experimental.WithOptionsIterDataset(batches, grain.experimental.DatasetOptions(min_shm_size=NEVER))
    batches = batches.mp_prefetch(grain.MultiprocessingOptions(num_workers=workers, per_worker_buffer_size=2))
  return cast(Batches, iter(batches))


@dataclasses.dataclass(frozen=True)
class ClipReader:
  """(row, copy, training) -> one clip of a batch. Small and picklable: columns of the manifest, and the source."""
  source: Source
  path: list[str]
  start_s: np.ndarray
  end_s: np.ndarray
  duration_s: np.ndarray
  label: dict[str, np.ndarray]  # {task: (rows, ...)}
  views: int
  crops: int
  sampler: sampling.Sampler
  resize: int
  reading: dict[str, Any]  # readers.options
  jitter: bool
  seed: int

  @classmethod
  def make(cls, manifest: Manifest, config: ConfigDict, views: int, crops: int = 1) -> ClipReader:
    table, data = manifest.table, config.data
    return cls(manifest.source, table.path.tolist(), table.start_s.to_numpy(), table.end_s.to_numpy(),
               table.duration_s.to_numpy(), manifest.labels(np.arange(len(table))), views, crops,
               sampling.Sampler.make(data), data.resize, readers.options(data),
               bool(config.augment.enabled and config.augment.time_jitter), config.seed)

  def __call__(self, sample: tuple[int, int, bool]) -> Batch:
    row, copy, training = sample
    num_frames, crops = self.sampler.num_frames, self.crops
    video = np.zeros((self.views, crops, num_frames, self.resize, self.resize, 3), np.uint8)
    times, good = np.zeros((self.views, num_frames)), row >= 0
    if good:
      try:
        content = self.source.read(self.path[row])
        for view in range(self.views):
          times[view] = self.times(row, copy, training, view)
          video[view] = readers.read_clip(content, times[view], resize=self.resize, crops=crops,
                                          **self.reading).reshape(video.shape[1:])
      except DataError:
        video[:], good = 0, False  # the caller lists rows that come back without their mask
    video, times = video.reshape(-1, *video.shape[2:]), np.repeat(times, crops, axis=0)
    return {"video": video, "time_s": times, "label": {task: a[row] if row >= 0 else np.zeros_like(a[0])
                                                        for task, a in self.label.items()},
            "row": np.int32(row), "copy": np.int32(copy), "mask": np.bool_(good)}

  def times(self, row: int, copy: int, training: bool, view: int) -> np.ndarray:
    """(T,) seconds; in training at a random start that depends on (seed, row, copy) alone."""
    jittered = training and self.jitter
    return self.sampler.times(
        self.duration_s[row], start_s=self.start_s[row], end_s=self.end_s[row], view=view, views=self.views,
        rng=np.random.default_rng((self.seed, row, copy)) if jittered else None)
