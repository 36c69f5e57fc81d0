"""Files decoded in processes that may hang or crash: each has a time limit, and takes no other file with it.

Each process has a pipe of its own. pebble's ProcessPool (5.2) shares one between all: when a process dies just as it
has taken a file, the whole pool may break ("All workers expired", seen at one of 53 crashes with two processes).
"""
from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import queue
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from vft.data import readers
from vft.data.inspection import PROBED, Inspection, failed, inspect_all, probe
from vft.data.known_files import KnownFiles
from vft.errors import DataError, RunError

if TYPE_CHECKING:
  from vft.data.sources import Source

HANGS, CRASHES = "hangs", "crashes the decoder"
START_S = 120  # for the imports of a process
Work = Callable[[readers.Content, str], Inspection]  # of (content, sha256); picklable


class Decoders:
  """`workers` processes; an inspection.Look for threads. Close it to end them.

  What may not be the file's fault comes without a digest, and so is not remembered.
  """

  def __init__(self, source: Source, work: Work, *, workers: int, limit_s: float, depth: int):
    """`limit_s`: for one file; `depth`: see inspection.Inspection."""
    self._depth, self.limit_s, self._args = depth, limit_s, (source, work)
    self._free: queue.LifoQueue[_Worker | None] = queue.LifoQueue()  # None: not started yet
    for _ in range(workers):
      self._free.put(None)

  def __call__(self, path: str, content: readers.Content, sha256: str) -> Inspection:
    worker = self._free.get()
    try:
      worker = worker or _Worker(*self._args)
    except BaseException:
      self._free.put(None)  # others may be waiting for it
      raise
    try:
      found = worker.look(path, sha256, self.limit_s)
      if isinstance(found, RunError):
        self._free.put(worker)
        raise found
    except TimeoutError:
      reason = f"{HANGS}: decoding had not ended after {self.limit_s:g} s (data.decode_timeout_s)"
      found = Inspection(sha256, reason, depth=self._depth, limit_s=self.limit_s)
      worker = worker.end()
    except (EOFError, OSError):  # the other end of the pipe is gone
      worker, code = worker.end(), worker.exitcode
      killed = code == -signal.SIGKILL  # by the system, for want of memory, not by this file alone
      found = failed("" if killed else sha256, f"{CRASHES} ({_died(code)})", self._depth)
    self._free.put(worker)
    return found

  def close(self) -> None:
    """Ends the processes."""
    while not self._free.empty():
      worker = self._free.get()
      if worker:
        worker.end()


class _Worker:
  """A process that looks at one file after the other."""

  def __init__(self, source: Source, work: Work):
    context = multiprocessing.get_context("spawn")  # a fork would take the locks of threads with it
    self._pipe, theirs = context.Pipe()
    self._process = context.Process(target=_serve, args=(theirs, source, work), daemon=True)
    self._process.start()
    theirs.close()
    try:
      if not self._pipe.poll(START_S):
        raise EOFError
      self._pipe.recv()
    except EOFError:
      self.end()
      raise RunError(f"A process for decoding did not start (exit code {self.exitcode}); expected one within {START_S} "
                     "s. Is there memory left?") from None

  def look(self, path: str, sha256: str, limit_s: float) -> Inspection | RunError:
    """What the process found. Raises TimeoutError, or EOFError or OSError when the process has died."""
    self._pipe.send((path, sha256))
    if not self._pipe.poll(limit_s):
      raise TimeoutError
    return self._pipe.recv()

  @property
  def exitcode(self) -> int | None:
    return self._process.exitcode

  def end(self) -> None:
    """Also where it hangs."""
    self._pipe.close()
    self._process.join(0.2)  # one that is idle ends by itself, one that has crashed gets its exit code
    if self._process.is_alive():
      self._process.kill()
    self._process.join()


def _died(code: int | None) -> str:
  if code is not None and code < 0:
    return signal.Signals(-code).name + (": perhaps too little memory" if code == -signal.SIGKILL else "")
  return f"exit code {code}"


def probe_all(source: Source, paths: list[str], reading: dict[str, Any], *, limit_s: float) -> dict[str, Inspection]:
  """As inspection.inspect_all, but a file that hangs or crashes is one that cannot be used; the next run knows all."""
  decoders = Decoders(source, functools.partial(probe, reading=reading), workers=min(cores(), len(paths)),
                      limit_s=limit_s, depth=PROBED)
  with contextlib.closing(decoders), contextlib.closing(KnownFiles()) as known:
    return inspect_all(source, paths, reading, look=decoders, known=known, limit_s=limit_s, threads=cores() + 2)


def cores() -> int:
  """Those that this process may use."""
  return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _serve(pipe: Connection, source: Source, work: Work) -> None:
  """The other end: (path, sha256) in, an Inspection out, until the pipe is closed."""
  signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process ends its workers
  pipe.send("ready")
  while True:
    try:
      path, sha256 = pipe.recv()
    except EOFError:
      return
    try:
      found = work(source.read(path), sha256)
    except DataError as e:
      found = failed(sha256, e)
    except RunError as e:  # of a remote place: nothing of this file
      found = e
    except Exception as e:  # one file must not end the check of a thousand others; its text may quote a header
      found = failed("", f"cannot be looked at: {type(e).__name__}; please report it with the version of vft")
    pipe.send(found)
