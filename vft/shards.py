"""--shard=i/n: one of n shares of a work, done by itself and again after a kill; the last one to finish merges them.

The shares lie as files in one folder that all shards see. Merging reads them all and is done under a lock, so that it
may be done twice.
"""
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import filelock

from vft.errors import ConfigError

T = TypeVar("T")
FLAG = "--shard="


class Waiting(Exception):
  """This share is done, others are not yet: nothing to merge."""


@dataclasses.dataclass(frozen=True)
class Shard:
  """Share `index` of `count`, from 0 on."""
  index: int
  count: int

  def share(self, items: Sequence[T]) -> list[T]:
    """Every count-th of them: long and short files are spread."""
    return list(items[self.index::self.count])


def parse(text: str) -> Shard:
  """The shard of "0/4". Raises ConfigError."""
  index, slash, count = text.partition("/")
  if not (slash and index.isdecimal() and count.isdecimal() and 0 <= int(index) < int(count)):
    raise ConfigError(f"--shard is {text!r}; expected i/n, counted from 0: --shard=0/4 to --shard=3/4, such as "
                      "--shard=$SLURM_ARRAY_TASK_ID/4.")
  return Shard(int(index), int(count))


def take(argv: Sequence[str]) -> tuple[Shard | None, list[str]]:
  """The shard that arguments ask for, and the other arguments."""
  asked = [a.removeprefix(FLAG) for a in argv if a.startswith(FLAG)]
  return parse(asked[-1]) if asked else None, [a for a in argv if not a.startswith(FLAG)]


def sizes(paths: Iterable[str]) -> list[int]:
  """Bytes of files of this machine, 0 for others: by them the shares of a work know that a file has been replaced."""
  return [os.path.getsize(path) if os.path.isfile(path) else 0 for path in paths]


class Parts:
  """What the shards of one work have made so far: a file each in `folder`.

  `work` is all that must be the same for shares to belong together.
  """

  def __init__(self, folder: Path, shard: Shard, work: Any):
    self.folder, self._shard = folder, shard
    self._key = hashlib.sha256(json.dumps([work, shard.count]).encode()).hexdigest()[:12]
    folder.mkdir(parents=True, exist_ok=True)

  def path(self, index: int) -> Path:
    """The file of a share."""
    return self.folder / f"{self._key}_{index}_of_{self._shard.count}.json"

  @property
  def done(self) -> bool:
    """Whether this share was finished before."""
    return self.path(self._shard.index).is_file()

  def write(self, value: Any) -> None:
    """Finishes this share, whole or not at all."""
    partial = self.path(self._shard.index).with_suffix(".tmp")
    partial.write_text(json.dumps(value))
    partial.replace(self.path(self._shard.index))

  @contextlib.contextmanager
  def merged(self) -> Iterator[list[Any]]:
    """All shares in their order, for one process at a time. Raises Waiting where some are missing."""
    with filelock.FileLock(self.folder / ".lock"):
      paths = [self.path(i) for i in range(self._shard.count)]
      there = sum(p.is_file() for p in paths)
      if there < len(paths):
        raise Waiting(f"share {self._shard.index} of {self._shard.count} is done, {there} of them are; the last one "
                      "to finish merges them.")
      yield [json.loads(p.read_text()) for p in paths]


def run(parts: Parts, work: Callable[[], Any]) -> None:
  """Does this share, if it was not finished before."""
  if not parts.done:
    parts.write(work())
