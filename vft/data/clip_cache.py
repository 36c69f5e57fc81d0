"""Decoded clips on disk, by choice (config.data.cache): a file each, written whole or not at all, checked when read.

Any number of processes may read and write; one that is killed leaves a .tmp file at most, which the next run removes.
"""
from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import shutil
import threading
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vft.errors import ConfigError

if TYPE_CHECKING:
  from ml_collections import ConfigDict

VERSION = 1  # raise it when decoding, scaling or cropping changes pixels
OLD_S = 3600.0  # after which nobody writes on at a .tmp file


@dataclasses.dataclass(frozen=True)
class ClipCache:
  """Clips (crops, T, R, R, 3) uint8 by key: KE/KEY.clip holds the pixels and their CRC-32. Small and picklable."""
  folder: str

  @classmethod
  def make(cls, data: ConfigDict) -> ClipCache | None:
    """The cache that config.data asks for."""
    return cls(str(Path(data.cache_dir or "~/.cache/vft/clips").expanduser())) if data.cache else None

  def has(self, key: str) -> bool:
    return self._path(key).is_file()

  def read(self, key: str, out: np.ndarray) -> bool:
    """Fills `out`, contiguous, with the clip; False where it is not there, or damaged, which is said and removed."""
    try:
      with self._path(key).open("rb", buffering=0) as file:
        length, check = file.readinto(out.reshape(-1).data), file.read()
    except FileNotFoundError:
      return False
    except OSError as e:
      logging.warning("cached clip %s cannot be read (%s); it is decoded again", self._path(key), e)
      return False
    if length == out.nbytes and check == _check(out):
      return True
    logging.warning("damaged cached clip %s removed; it is decoded again", self._path(key))
    self._path(key).unlink(missing_ok=True)
    return False

  def write(self, key: str, clip: np.ndarray) -> None:
    """A disk that fails costs a warning, never the run."""
    path = self._path(key)
    partial = path.with_suffix(f".{os.getpid()}_{threading.get_native_id()}.tmp")
    try:
      path.parent.mkdir(parents=True, exist_ok=True)
      with partial.open("wb") as file:
        file.write(np.ascontiguousarray(clip).data)
        file.write(_check(clip))
      partial.replace(path)
    except OSError as e:
      logging.warning("cached clip %s cannot be written (%s); training goes on", path, e)
      with contextlib.suppress(OSError):
        partial.unlink(missing_ok=True)

  def prepare(self, size: int, missing: int, max_gb: float) -> None:
    """Makes the folder, removes what was left half written. Raises ConfigError where the bytes do not fit.

    Args:
      size: bytes of all clips of a run.
      missing: those of them that are still to be written.
      max_gb: config.data.cache_max_gb.
    """
    folder = Path(self.folder)
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob("??/*.tmp"):
      with contextlib.suppress(FileNotFoundError):  # its writer has finished, or another run was faster
        if time.time() - left.stat().st_mtime > OLD_S:
          left.unlink()
    free = shutil.disk_usage(folder).free
    if size > max_gb * 1e9 or missing > free:
      raise ConfigError(f"The decoded clips would take {size / 1e9:.1f} GB in {folder}, {missing / 1e9:.1f} GB of them "
                        f"new; config.data.cache_max_gb allows {max_gb:g} GB and {free / 1e9:.1f} GB are free."
                        "\nRaise it, give another --config.data.cache_dir, or decode in every epoch: "
                        "--config.data.cache=False.")

  def _path(self, key: str) -> Path:
    return Path(self.folder, key[:2], f"{key}.clip")


def clip_key(sha256: str, duration_s: float, times_s: np.ndarray, resize: int, crops: int,
             reading: dict[str, Any]) -> str:
  """Digest of all that decides a decoded clip's pixels; the duration tells the rate of a folder of frames."""
  said = [VERSION, sha256, duration_s, times_s.tolist(), resize, crops, {**reading, "max_pixels": 0}]  # a mere limit
  return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _check(clip: np.ndarray) -> bytes:
  return zlib.crc32(np.ascontiguousarray(clip).data).to_bytes(4, "big")
