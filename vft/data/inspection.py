"""What is known of each file of a data set: digest, length, size, and why it cannot be used, if so.

A run probes files in threads (`probe`); `vft check` looks at more of them in processes of its own, and what it found
is remembered by content, so that neither decodes a file again.
"""
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from vft import storage
from vft.data import readers
from vft.data.known_files import KnownFiles, key_of
from vft.data.readers.files import open_bytes
from vft.errors import DataError

if TYPE_CHECKING:
  from vft.data.sources import Source

PROBED, LOOKED, DECODED = 0, 1, 2  # start and end | frames here and there, too | every frame


@dataclasses.dataclass(frozen=True)
class Inspection:
  """One file. What follows `limit_s` is found by `vft check` only.

  key: its name in KnownFiles.
  reason: why the file cannot be used, "" if it can.
  burned_in: a DICOM header says that there is text in the pixels.
  depth: PROBED, LOOKED or DECODED.
  limit_s: decoding had not ended after so many seconds; else 0.
  notes: what is odd but can be read: "black", "one value", "still", "one frame".
  borders: shares of the frame that are black at its left, top, right and bottom.
  hashes: perceptual hashes of four frames, hexadecimal; "" where there is nothing to tell one video from another.
  thumbnail: a JPEG file of the middle frame as a model sees it.
  """
  sha256: str = ""
  reason: str = ""
  key: str = ""
  duration_s: float = float("nan")
  fps: float = float("nan")
  width: int = 0
  height: int = 0
  burned_in: bool = False
  depth: int = PROBED
  limit_s: float = 0.0
  frames: int = 0
  notes: tuple[str, ...] = ()
  borders: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
  hashes: str = ""
  thumbnail: bytes = b""


Look = Callable[[str, readers.Content, str], Inspection]  # of (path, its content, its sha256)


def probe(content: readers.Content, sha256: str, *, reading: dict[str, Any]) -> Inspection:
  """What a run asks of a file before it starts."""
  try:
    info = readers.probe(content, **reading)
  except DataError as e:
    return failed(sha256, e)
  return Inspection(sha256, duration_s=round(info.duration_s, 6), fps=info.fps, width=info.width, height=info.height,
                    burned_in=info.burned_in)


def failed(sha256: str, error: DataError | str, depth: int = PROBED) -> Inspection:
  """A file that cannot be used."""
  return Inspection(sha256, " ".join(str(error).split()), depth=depth)


def inspect_all(source: Source, paths: Sequence[str], reading: dict[str, Any], *, look: Look | None = None,
                known: KnownFiles | None = None, depth: int = PROBED, limit_s: float = 0.0, threads: int = 0,
                tick: Callable[[int, bool], None] = lambda done, new: None) -> dict[str, Inspection]:
  """{path: Inspection}, without thumbnails: those are kept in `known`.

  Args:
    look: what is done with a file that is not known to `depth`; None = `probe`.
    known: None = what `vft check` left in its usual place is read, and nothing is written.
    limit_s: a file that once took this long is looked at again if there is more time now.
    tick: called as tick(files done, whether the last of them was looked at).
  """
  look = look or (lambda path, content, sha256: probe(content, sha256, reading=reading))
  writes, known = known is not None, known or KnownFiles.existing()

  def one(path: str) -> tuple[Inspection, bool]:
    sha256 = ""
    try:
      content = source.read(path)
      sha256 = digest(content)
    except DataError as e:
      return failed(sha256, e), True
    except OSError as e:  # in the midst of reading
      return failed("", f"not readable: {e.strerror}"), True
    key = key_of(sha256, content, reading)
    found = known.get(key, depth, limit_s) if known and sha256 else None
    if found is not None:
      return Inspection(**found), False
    seen = dataclasses.replace(look(path, content, sha256), key=key)
    if writes and known and seen.sha256:
      known.add(key, seen)
    return dataclasses.replace(seen, sha256=sha256, thumbnail=b""), True

  out = {}
  with contextlib.closing(known) if known and not writes else contextlib.nullcontext(), \
      ThreadPoolExecutor(threads or min(32, os.cpu_count() or 1)) as pool:  # decoding and hashing release the GIL
    try:
      for done, (path, (found, new)) in enumerate(zip(paths, pool.map(one, paths), strict=True), 1):
        out[path] = found
        tick(done, new)
    except BaseException:  # Ctrl-C, too
      pool.shutdown(wait=False, cancel_futures=True)
      raise
  return out


def digest(content: readers.Content) -> str:
  """SHA-256 of the bytes, hexadecimal, of a folder that of its files; "" where there is nothing to read."""
  if isinstance(content, bytes):
    return hashlib.sha256(content).hexdigest()
  content = content.path if isinstance(content, readers.FrameFolder) else content
  if storage.is_remote(content):
    with contextlib.suppress(DataError), open_bytes(content) as file:
      return hashlib.file_digest(cast(Any, file), "sha256").hexdigest()
    return ""  # the reader says what is wrong
  if os.path.isdir(content):
    files = readers.frame_files(content)
    return hashlib.sha256("".join(digest(file) for file in files).encode()).hexdigest()
  if not os.path.isfile(content) or not os.access(content, os.R_OK):
    return ""  # the reader says what is wrong
  with open(content, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()
