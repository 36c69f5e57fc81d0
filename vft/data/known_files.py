"""What runs and `vft check` found in files, remembered by their content in ~/.cache/vft/check/files.sqlite.

Nothing of a path, a name or a header is in it; pixels are, as thumbnails, hence its mode 0600.
"""
from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import logging
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

from vft.data import readers

VERSION = 1  # raise it when a look finds something else
FILE = "~/.cache/vft/check/files.sqlite"
PACKAGES = ("av", "pydicom", "pillow", "ImageHash", "pylibjpeg", "pylibjpeg-libjpeg", "pylibjpeg-openjpeg",
            "nibabel")  # decoders
PENDING = 100  # files that are lost at most when the process is killed


def key_of(sha256: str, content: readers.Content, reading: dict[str, Any]) -> str:
  """Digest of all that decides what is found: bytes, the way of reading, and the versions of what decodes them."""
  rate = content.fps if isinstance(content, readers.FrameFolder) else 0.0
  return hashlib.sha256(json.dumps([VERSION, sha256, rate, reading, _versions()]).encode()).hexdigest()


@functools.cache
def _versions() -> tuple[str, ...]:
  installed = {d.name.lower(): d.version for d in importlib.metadata.distributions()
               if d.name and d.name.lower() in {p.lower() for p in PACKAGES}}
  return tuple(installed.get(p.lower(), "") for p in PACKAGES)


class KnownFiles:
  """For threads. A disk that fails costs one warning, never the check."""

  def __init__(self, path: str | Path = FILE):
    self._path, self._lock = Path(path).expanduser(), threading.Lock()
    self._pending: list[tuple[Any, ...]] = []
    self._here: sqlite3.Connection | None = None
    try:
      self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
      os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
      self._here = sqlite3.connect(self._path, timeout=60, check_same_thread=False)
      self._here.execute("CREATE TABLE IF NOT EXISTS files (key TEXT PRIMARY KEY, depth INTEGER, limit_s REAL, "
                         "found TEXT, thumbnail BLOB)")
    except (OSError, sqlite3.Error) as e:
      self._give_up(e)

  @classmethod
  def existing(cls) -> KnownFiles | None:
    """What earlier checks left; None if there is nothing."""
    return cls() if Path(FILE).expanduser().is_file() else None

  def get(self, key: str, depth: int, limit_s: float = 0.0) -> dict[str, Any] | None:
    """Fields of an inspection.Inspection, but for its thumbnail, if it went as deep as `depth` or ended early."""
    row = self._read("SELECT found, depth, limit_s FROM files WHERE key = ?", key)
    if not row or (row[2] and limit_s > row[2]):  # once too slow, but now there is more time
      return None
    found = json.loads(row[0])
    if row[1] < depth and not found["reason"]:
      return None
    return {**found, "notes": tuple(found["notes"]), "borders": tuple(found["borders"])}

  def thumbnail(self, key: str) -> bytes:
    """A JPEG file, or b""."""
    row = self._read("SELECT thumbnail FROM files WHERE key = ?", key)
    return row[0] if row else b""

  def add(self, key: str, inspection: Any) -> None:
    """Takes in what was found, in place of what a look less deep had found."""
    found = dataclasses.asdict(inspection)
    thumbnail = found.pop("thumbnail")
    with self._lock:
      self._pending.append((key, inspection.depth, inspection.limit_s, json.dumps(found), thumbnail))
      if len(self._pending) >= PENDING:
        self._flush()

  def take(self, path: Path) -> None:
    """Takes in what another file of this kind holds."""
    with self._lock, contextlib.closing(sqlite3.connect(path)) as other:
      try:
        rows = other.execute("SELECT * FROM files")
        while self._here and (some := rows.fetchmany(PENDING)):
          self._pending += some
          self._flush()
      except sqlite3.Error as e:
        logging.warning("%s cannot be read (%s): pages have none of its thumbnails.", path, e)

  def flush(self) -> None:
    """Writes what is pending."""
    with self._lock:
      self._flush()

  def close(self) -> None:
    """Writes what is pending."""
    with self._lock:
      self._flush()
      if self._here:
        self._here.close()
        self._here = None

  def _read(self, command: str, key: str) -> Any:
    with self._lock:
      try:
        return self._here.execute(command, (key,)).fetchone() if self._here else None
      except sqlite3.Error as e:
        self._give_up(e)

  def _flush(self) -> None:
    try:
      if self._here and self._pending:
        with self._here:  # one short transaction: others may write, too
          self._here.executemany("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", self._pending)
    except sqlite3.Error as e:
      self._give_up(e)
    self._pending.clear()

  def _give_up(self, error: Exception) -> None:
    logging.warning("%s cannot be used (%s): what is found in files is not remembered, and pages have no thumbnails.",
                    self._path, error)
    if self._here:
      self._here.close()
    self._here = None
