"""Notes of what is being read, one file for each thread of each process, which outlive a process that crashes."""
from __future__ import annotations

import contextlib
import glob
import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

# Times are of the monotonic clock, which all processes of a host share.
HERE = f"{socket.gethostname()}@"  # of the notes of other hosts in the same folder nothing can be said
_local = threading.local()


class Note:
  """What a thread is reading: a file that is open as long as the thread lives, empty between batches."""

  def __init__(self, folder: str):
    self.key = folder, os.getpid()
    self._path = Path(folder, f"{HERE}{os.getpid()}_{threading.get_native_id()}.note")
    self._file = os.open(self._path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)

  def write(self, path: str, run: str) -> None:
    self.clear()
    os.pwrite(self._file, json.dumps([time.monotonic(), path, run]).encode(), 0)

  def clear(self) -> None:
    os.ftruncate(self._file, 0)

  def __del__(self):
    os.close(self._file)
    if os.getpid() == self.key[1]:  # and no fork of the process that reads
      self._path.unlink(missing_ok=True)


def note_of(folder: str) -> Note:
  """Made anew in a process that was forked."""
  if getattr(_local, "note", None) is None or _local.note.key != (folder, os.getpid()):
    _local.note = Note(folder)
  return _local.note


def clear() -> None:
  """What this thread was reading has been read."""
  if hasattr(_local, "note"):
    _local.note.clear()


def hanging(folder: Path, run: str, limit_s: float) -> list[tuple[int, str]]:
  """(process, path) of what the processes of this run have been reading for longer than the limit."""
  return [(pid, path) for _, pid, since, path, whose in _notes(folder)
          if whose == run and time.monotonic() - since > limit_s and _alive(pid)]


def left(folder: Path) -> list[str]:
  """Paths that were being read by processes that have ended, of whatever run; their notes are removed."""
  found = []
  for note, pid, _, path, _ in _notes(folder):
    if not _alive(pid):
      found.append(path)
      note.unlink(missing_ok=True)
  return found


def _notes(folder: Path) -> Iterator[tuple[Path, int, float, str, str]]:
  """(file, process, since when, path, run) of those that are not empty."""
  for note in sorted(folder.glob(f"{glob.escape(HERE)}*.note")):
    with contextlib.suppress(OSError, ValueError):  # gone, or being written at this moment
      yield note, int(note.name.removeprefix(HERE).partition("_")[0]), *json.loads(note.read_text())


def _alive(pid: int) -> bool:
  try:
    os.kill(pid, 0)
    stat = Path(f"/proc/{pid}/stat")  # one that has ended, but was not waited for, takes signals, too
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
  except PermissionError:  # of another user
    return True
  except OSError:
    return False
