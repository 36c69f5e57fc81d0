"""From rows of a manifest to a batch of clips. A worker process gets a copy of a ClipReader: no pandas here."""
from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from vft.data import readers, sampling
from vft.data.clip_cache import ClipCache, clip_key
from vft.data.guard import Guarded
from vft.errors import DataError

if TYPE_CHECKING:
  from ml_collections import ConfigDict

  from vft.data.manifest import Manifest
  from vft.data.sources import Source

Batch = dict[str, Any]
NEAR_S = 5.0  # clips of one video with a smaller gap are decoded in one go, which is faster than a seek to each


@dataclasses.dataclass(frozen=True)
class ClipReader:
  """(rows, copies, training), each (B,), -> a batch. Small and picklable: columns of the manifest, and the source."""
  source: Source
  path: list[str]
  sha256: list[str]
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
  cache: ClipCache | None

  @classmethod
  def make(cls, manifest: Manifest, config: ConfigDict, views: int, crops: int = 1,
           cache: ClipCache | None = None) -> ClipReader:
    table, data = manifest.table, config.data
    return cls(manifest.source, table.path.tolist(), table.sha256.tolist(), table.start_s.to_numpy(),
               table.end_s.to_numpy(), table.duration_s.to_numpy(), manifest.labels(np.arange(len(table))), views,
               crops, sampling.Sampler.make(data), data.resize, readers.options(data),
               bool(config.augment.enabled and config.augment.time_jitter), config.seed, cache)

  def __call__(self, samples: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Batch:
    """The batch that `pipeline.train_batches` describes; row -1 is padding."""
    rows, copies, training = samples
    times = np.zeros((len(rows), self.views, self.sampler.num_frames))
    for i, view in np.ndindex(times.shape[:2]):
      if rows[i] >= 0:
        times[i, view] = self.times(int(rows[i]), int(copies[i]), bool(training[i]), view)
    video = np.zeros((*times.shape[:2], self.crops, times.shape[2], self.resize, self.resize, 3), np.uint8)
    good = rows >= 0
    cached = self._from_cache(rows, times, video)
    for row, places in self._runs(np.where(cached, -1, rows[:, None]), times):
      self._read(row, places, times, video, good)
    video[~good] = 0
    labels = {task: np.where((rows >= 0).reshape(-1, *[1] * (a.ndim - 1)), a[rows], np.zeros_like(a[:1]))
              for task, a in self.label.items()}
    return {"video": video.reshape(len(rows), -1, *video.shape[3:]), "time_s": np.repeat(times, self.crops, axis=1),
            "label": labels, "row": rows.astype(np.int32), "copy": copies.astype(np.int32), "mask": good}

  def _from_cache(self, rows: np.ndarray, times: np.ndarray, video: np.ndarray) -> np.ndarray:
    """Fills the places of `video` that the cache has; returns which (B, V). Not those of files that are refused."""
    cached = np.zeros(times.shape[:2], bool)
    refused = self.source.refused if isinstance(self.source, Guarded) else {}
    for i, view in np.ndindex(cached.shape):
      if self.cache and rows[i] >= 0 and self.path[rows[i]] not in refused:
        cached[i, view] = self.cache.read(self._key(int(rows[i]), times[i, view]), video[i, view])
    return cached

  def _key(self, row: int, times: np.ndarray) -> str:
    return clip_key(self.sha256[row], self.duration_s[row], times, self.resize, self.crops, self.reading)

  def missing(self, samples: Iterable[tuple[int, int, bool]]) -> int:
    """How many clips of (row, copy, training) are not cached."""
    keys = {self._key(row, self.times(row, copy, training, view))
            for row, copy, training in samples for view in range(self.views)}
    return sum(not (self.cache and self.cache.has(key)) for key in keys)

  def _runs(self, rows: np.ndarray, times: np.ndarray) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """(row, [(place, view), ...]) of clips that follow each other closely in one video; rows (B, V), -1 = none."""
    run: list[tuple[int, int]] = []
    for i, view in np.ndindex(times.shape[:2]):
      if rows[i, view] < 0:
        continue
      if run:
        before, after = times[run[-1]], times[i, view]
        near = before.min() <= after.min() < before.max() + NEAR_S
        if not near or self.path[rows[run[0]]] != self.path[rows[i, view]]:
          yield int(rows[run[0]]), run
          run = []
      run.append((i, view))
    if run:
      yield int(rows[run[0]]), run

  def _read(self, row: int, places: list[tuple[int, int]], times: np.ndarray, video: np.ndarray,
            good: np.ndarray) -> None:
    """Fills the places of `video`; the caller lists rows that come back without their mask."""
    wanted = np.stack([times[place] for place in places])
    try:
      frames = readers.read_clip(self.source.read(self.path[row]), wanted.ravel(), resize=self.resize, crops=self.crops,
                                 **self.reading)
    except DataError:
      if len(places) == 1:
        good[places[0][0]] = False
      else:  # one of them: the others are whole
        for place in places:
          self._read(row, [place], times, video, good)
      return
    frames = frames.reshape(self.crops, *wanted.shape, *frames.shape[1:])
    for k, place in enumerate(places):
      video[place] = frames[:, k]
      if self.cache:
        self.cache.write(self._key(row, times[place]), video[place])

  def times(self, row: int, copy: int, training: bool, view: int) -> np.ndarray:
    """(T,) seconds; in training at a random start that depends on (seed, row, copy) alone."""
    jittered = training and self.jitter
    return self.sampler.times(
        self.duration_s[row], start_s=self.start_s[row], end_s=self.end_s[row], view=view, views=self.views,
        rng=np.random.default_rng((self.seed, row, copy)) if jittered else None)

