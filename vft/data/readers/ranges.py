"""Remote files by ranges: blocks are fetched when they are read, several at once where they follow each other."""
from __future__ import annotations

import functools
import io
import os
import threading
from collections import OrderedDict
from typing import BinaryIO, cast

from vft import storage
from vft.errors import DataError

BLOCK = 1 << 18  # bytes
AHEAD = 16  # blocks in one request at most: a request costs as much time as some megabytes
KEPT = 256  # blocks that a process remembers, 64 MiB: a clip opens its file several times
_blocks: OrderedDict[tuple[str, str, int], bytes] = OrderedDict()
_lock = threading.Lock()


def open_remote(url: str) -> BinaryIO:
  """Raises DataError if there is no file with at least one byte that may be read."""
  try:
    found = about(url)
  except FileNotFoundError:
    raise DataError(f"no such file: {url}") from None
  except PermissionError:
    raise DataError(f"no permission: {url}") from None
  if found is None:
    raise DataError("a folder, not a file (folders of frames must lie on this machine)")
  if not found.size:
    raise DataError("empty file")
  return cast(BinaryIO, io.BufferedReader(Ranged(url, found), BLOCK))


@functools.lru_cache(maxsize=100_000)
def about(url: str) -> storage.About | None:
  """Asked once by each process: a file that changes during a run is not looked at again."""
  return storage.about(url)


class Ranged(io.RawIOBase):
  """A remote file, read by whole blocks."""

  def __init__(self, url: str, found: storage.About):
    self.name = url  # pydicom asks for it
    self._url, self._about, self._at, self._next, self._run = url, found, 0, -1, 1

  def readable(self) -> bool:
    return True

  def seekable(self) -> bool:
    return True

  def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
    base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._about.size}[whence]
    if base + offset < 0:
      raise OSError(f"{self._url}: a place before its start")
    self._at = base + offset
    return self._at

  def readinto(self, buffer: memoryview) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
    """As much as the block at this place has."""
    if self._at >= self._about.size:
      return 0
    number, offset = divmod(self._at, BLOCK)
    part = self._block(number)[offset:offset + len(buffer)]
    buffer[:len(part)] = part
    self._at += len(part)
    return len(part)

  def _block(self, number: int) -> bytes:
    with _lock:
      found = _blocks.get((self._url, self._about.version, number))
      if found is not None:
        _blocks.move_to_end((self._url, self._about.version, number))
        return found
    self._run = min(2 * self._run, AHEAD) if number == self._next else 1
    data = storage.read(self._url, number * BLOCK, min((number + self._run) * BLOCK, self._about.size))
    parts = [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)]
    if not parts:
      raise DataError("the file has become shorter while it was read")
    self._next = number + len(parts)
    with _lock:
      for i, part in enumerate(parts):
        _blocks[self._url, self._about.version, number + i] = part
      while len(_blocks) > KEPT:
        _blocks.popitem(last=False)
    return parts[0]
