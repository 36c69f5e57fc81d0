"""A decoder that hangs or crashes in a run: which file it was, and how the same command goes on without it.

Whoever reads a clip notes its file in FOLDER/.reading until the batch is made. A note that grows old names a file that
hangs; one of a process that is dead may name a file that crashes the decoder, which is then tried in another process.
"""
from __future__ import annotations

import csv
import dataclasses
import functools
import json
import multiprocessing
import os
import queue
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vft.data import notes, readers
from vft.data.decoders import CRASHES, HANGS, Decoders
from vft.data.inspection import PROBED, Inspection, probe
from vft.errors import DataError, RunError

if TYPE_CHECKING:
  import pandas as pd
  from ml_collections import ConfigDict

  from vft.data.manifest import Manifest
  from vft.data.sources import Source

MANY = 3000  # frames up to which a suspected video is decoded as a whole


@dataclasses.dataclass(frozen=True)
class Guarded:
  """A source that notes what is read from it, and refuses what once hung or crashed. See sources.Source."""
  inner: Source
  folder: str  # of the notes
  limit_s: float
  reading: dict[str, Any]
  refused: dict[str, str]  # {path: reason}
  run: str  # a random name, by which its notes are known

  @property
  def classes(self) -> tuple[str, ...]:
    return self.inner.classes

  @property
  def simulated(self) -> bool:
    return self.inner.simulated

  @property
  def CHECKED(self) -> str:
    return self.inner.CHECKED

  def rows(self) -> pd.DataFrame:
    return self.inner.rows()

  def read(self, path: str) -> readers.Content:
    if path in self.refused:
      raise DataError(self.refused[path])
    notes.note_of(self.folder).write(path, self.run)
    return self.inner.read(path)


def guard(manifest: Manifest, folder: Path, config: ConfigDict) -> Manifest:
  """The manifest with a guarded source. Tries files that an earlier run in `folder` was reading when it was killed."""
  place = folder / ".reading"
  place.mkdir(exist_ok=True)
  source = Guarded(manifest.source, str(place), config.data.decode_timeout_s, readers.options(config.data), {},
                   secrets.token_hex(8))
  if (place / "refused.json").is_file():
    source.refused.update(json.loads((place / "refused.json").read_text()))
  for path in notes.left(place):
    if path not in source.refused:
      _try(source, path)
  return dataclasses.replace(manifest, source=source)


def refused_rows(manifest: Manifest) -> set[int]:
  """Rows whose file hung or crashed."""
  if not isinstance(manifest.source, Guarded) or not manifest.source.refused:
    return set()
  return set(manifest.table.row[manifest.table.path.isin(list(manifest.source.refused))].tolist())


@dataclasses.dataclass(frozen=True)
class Noted:
  """A function of a batch's samples that reads files; no note is left when it has come back."""
  read: Any

  def __setstate__(self, state: dict[str, Any]) -> None:
    """In a worker: what stops a job is for its first process, which needs the workers for its last step."""
    self.__dict__.update(state)
    if multiprocessing.parent_process() and threading.current_thread() is threading.main_thread():
      for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)

  def __call__(self, samples: Any) -> Any:
    try:
      return self.read(samples)
    finally:
      notes.clear()


class Watched:
  """The same batches. Raises DataError naming the file where one takes longer than the limit or ends its process.

  Raises RunError where a process was ended by something else.
  """

  def __init__(self, batches: Any, source: Guarded):
    self._batches, self._source, self._stuck = batches, source, False

  def __iter__(self) -> Iterator[Any]:
    return self

  def __next__(self) -> Any:
    answer: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def ask() -> None:
      try:
        answer.put((next(self._batches), None))
      except BaseException as e:
        answer.put((None, e))
    threading.Thread(target=ask, daemon=True).start()
    while True:
      try:
        batch, error = answer.get(timeout=max(1.0, self._source.limit_s / 10))
      except queue.Empty:
        self._find_hanging()
        continue
      if error is None:
        return batch
      if not isinstance(error, StopIteration | DataError):
        self._find_crashed(error)
      if "terminated unexpectedly" in str(error):  # grain says so of its workers
        raise RunError(f"A process that decodes has ended: {str(error).splitlines()[0]}\nNegative codes are signals; "
                       "-9 mostly means too little memory: lower --config.data.workers, --config.train.batch or "
                       "--config.data.resize. The same command goes on from the last checkpoint.") from error
      raise error

  def close(self) -> None:
    """Not where a thread of this process hangs: closing would wait for it."""
    if not self._stuck:
      self._batches.close()

  def _find_hanging(self) -> None:
    for pid, path in notes.hanging(Path(self._source.folder), self._source.run, self._source.limit_s):
      if path in self._source.refused:
        continue
      _refuse(self._source, path, f"{HANGS}: decoding had not ended after {self._source.limit_s:g} s "
              "(data.decode_timeout_s)")
      self._stuck = pid == os.getpid()
      if not self._stuck:
        os.kill(pid, signal.SIGKILL)  # a worker of ours, which would outlive the run
      raise self._error(path)

  def _find_crashed(self, error: BaseException) -> None:
    for path in notes.left(Path(self._source.folder)):
      if _try(self._source, path):
        raise self._error(path) from error

  def _error(self, path: str) -> DataError:
    return DataError(f"{path!r} {self._source.refused[path]}.\nIt is now in {Path(self._source.folder).parent}/"
                     "skipped.csv; the same command goes on without it. To look at all files first: vft check")


def watched(batches: Any, source: Source) -> Any:
  """Batches whose files are watched, if their source is guarded."""
  return Watched(batches, source) if isinstance(source, Guarded) else batches


def _try(source: Guarded, path: str) -> bool:
  """Decodes the file in a process of its own; whether it hangs or crashes, and so is refused from now on."""
  decoders = Decoders(source.inner, functools.partial(_read, reading=source.reading), workers=1,
                      limit_s=source.limit_s, depth=PROBED)
  try:
    reason = decoders(path, b"", "").reason
  finally:
    decoders.close()
  guilty = reason.startswith((HANGS, CRASHES))
  if guilty:
    _refuse(source, path, reason)
  return guilty


def _read(content: readers.Content, sha256: str, *, reading: dict[str, Any]) -> Inspection:
  """Every frame of a video of some minutes; of a longer one some, since the work must be bounded."""
  found = probe(content, sha256, reading=reading)
  if not found.reason:
    count = round(found.duration_s * found.fps)
    times = np.arange(count) / found.fps if count <= MANY else np.linspace(0, found.duration_s, 64)
    for part in [times] if count <= MANY else times[:, None]:
      for _ in readers.look(content, part, resize=64, **reading):
        pass
  return found


def _refuse(source: Guarded, path: str, reason: str) -> None:
  """Remembers it for the next start, and adds its rows to skipped.csv."""
  source.refused[path] = reason
  place = Path(source.folder)
  partial = place / "refused.tmp"
  partial.write_text(json.dumps(source.refused, indent=1))
  partial.replace(place / "refused.json")
  with (place.parent / "manifest.csv").open(encoding="utf-8", newline="") as file:
    rows = [(r["row"], r["id"], path, reason) for r in csv.DictReader(file) if r["path"] == path]
  skipped = place.parent / "skipped.csv"
  new = not skipped.is_file()
  with skipped.open("a", encoding="utf-8", newline="") as file:
    table = csv.writer(file, lineterminator="\n")
    table.writerows([("row", "id", "path", "reason")] * new + rows)
