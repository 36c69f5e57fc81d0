"""One process at a time for a remote workdir, without locks, which buckets do not have, and without comparing clocks.

The owner writes a note there, anew every BEAT_S seconds. Who comes later watches it: a note that changes is alive, one
that stays is of a machine that is gone. Who finds another's note in the place of its own has lost the workdir.
"""
from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import socket
import threading
import time
from pathlib import Path
from typing import Any

from vft import storage
from vft.errors import RunError

NAME = ".owner.json"
BEAT_S = 20.0
WATCH = 2.5  # beats that a note must stay unchanged


class Lost(RunError):
  """Another process has taken the workdir over."""


class Owner:
  """The right to write below a remote folder, from `take` to `release`."""

  def __init__(self, url: str):
    self._folder, self._url = url, storage.join(url, NAME)
    self._id, self._beats = secrets.token_hex(8), 0
    self._end, self._lost = threading.Event(), False
    self._thread = threading.Thread(target=self._keep, daemon=True)

  def take(self) -> None:
    """Raises RunError where another process has it."""
    found = self._read()
    if found and not _ended_here(found):
      logging.warning("%s was in use by %s: looking for %.0f s whether it still is", self._folder, found.get("who"),
                      WATCH * BEAT_S)
      until = time.monotonic() + WATCH * BEAT_S
      while found and time.monotonic() < until:
        time.sleep(BEAT_S / 4)
        now = self._read()
        if now and now != found:
          raise RunError(f"{self._folder} is in use by {now.get('who')}; wait for it, or give another --workdir.")
        found = now
    self._write()
    self._thread.start()

  def check(self) -> None:
    """Raises RunError where another process has taken it."""
    now = self._read()
    if self._lost or (now and now.get("id") != self._id):
      self._lost = True
      raise Lost(f"{self._folder} was taken over by {(now or {}).get('who')}: this process was not heard of for "
                     f"{WATCH * BEAT_S:.0f} s.\nNothing more is sent there; let the other one go on.")

  def release(self) -> None:
    """For whoever comes next."""
    self._end.set()
    self._thread.join()
    with contextlib.suppress(RunError, OSError):
      if (self._read() or {}).get("id") == self._id:
        storage.remove([self._url])

  def _keep(self) -> None:
    while not self._end.wait(BEAT_S):
      try:
        if (self._read() or {"id": self._id})["id"] != self._id:
          self._lost = True
          return
        self._write()
      except (RunError, OSError) as e:  # the next beat may get through
        logging.warning("%s: %s", self._url, e)

  def _write(self) -> None:
    self._beats += 1
    storage.write(self._url, json.dumps({**_here(), "id": self._id, "beat": self._beats}).encode())

  def _read(self) -> dict[str, Any] | None:
    try:
      found = json.loads(storage.read(self._url))
      return found if isinstance(found, dict) else {"who": "an unknown process"}
    except FileNotFoundError:
      return None
    except ValueError as e:
      if isinstance(e, RunError):
        raise
      return {"who": "an unknown process"}


def _here() -> dict[str, Any]:
  boot = Path("/proc/sys/kernel/random/boot_id")
  return {"who": f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}", "pid": os.getpid(),
          "host": f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''}"}


def _ended_here(note: dict[str, Any]) -> bool:
  """Whether it is of a process of this machine that has ended."""
  if note.get("host") != _here()["host"] or not isinstance(note.get("pid"), int):
    return False
  try:
    os.kill(note["pid"], 0)
  except ProcessLookupError:
    return True
  except OSError:
    return False
  state = Path(f"/proc/{note['pid']}/stat")  # one that has ended, but was not waited for, takes signals, too
  return state.exists() and state.read_text().rpartition(")")[2].split()[0] == "Z"
