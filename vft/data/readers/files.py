"""The bytes of a file before a decoder sees them: what is there, what is not, and what was cut off."""
import io
import os
import stat
from pathlib import Path
from typing import BinaryIO

from vft import storage
from vft.data.readers import ranges
from vft.errors import DataError


def open_bytes(source: str | bytes) -> BinaryIO:
  """Raises DataError if there is no regular, readable file with at least one byte."""
  if isinstance(source, bytes):
    if not source:
      raise DataError("empty file")
    return io.BytesIO(source)
  if storage.is_remote(source):
    return ranges.open_remote(source)
  path = Path(source)
  try:
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
      raise DataError("a folder, not a file")
    if not stat.S_ISREG(about.st_mode):  # opening a pipe would wait for ever
      raise DataError("not a regular file")
    if not about.st_size:
      raise DataError("empty file")
    return path.open("rb")
  except FileNotFoundError:
    link = " (a broken link)" if path.is_symlink() else ""
    raise DataError(f"no such file: {os.path.realpath(path)}{link}") from None
  except PermissionError:
    raise DataError(f"no permission{_owner(path)}: {os.path.realpath(path)}") from None
  except OSError as e:
    raise DataError(f"not readable: {e.strerror}") from None


def _owner(path: Path) -> str:
  try:
    about = path.stat()
  except OSError:  # already the folder may not be entered
    return ""
  return f" (owner {about.st_uid}, mode {stat.S_IMODE(about.st_mode):o})"


def version(source: str) -> tuple[int | str, int]:
  """What changes with the bytes of a file, remote or not. Raises DataError if there is none."""
  if storage.is_remote(source):
    open_bytes(source).close()
    found = ranges.about(source)
    return (found.version, found.size) if found else ("", 0)
  about = os.stat(source)
  return about.st_mtime_ns, about.st_size


def cut_boxes(file: BinaryIO, head: bytes) -> str:
  """What is missing of an MP4 or MOV file by the sizes of its top-level boxes (ISO 14496-12, 4.2), or ""."""
  if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
    return ""
  length, at, seen = file.seek(0, os.SEEK_END), 0, set()
  while at + 8 <= length:
    file.seek(at)
    size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
    if size == 1:
      size = int.from_bytes(file.read(8), "big")
    seen.add(kind)
    if size < 8:  # 0: up to the end of the file
      break
    at += size
    if at > length and kind in (b"moov", b"mdat", b"moof"):
      return "moov atom missing" if b"moov" not in seen else f"{length} of {at} bytes"
  return "" if b"moov" in seen else "moov atom missing"
