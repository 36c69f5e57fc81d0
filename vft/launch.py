"""vft launch -n 2 --restarts=3 -- train --config=medical: local processes of one run, started, watched, restarted."""
import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import IO

GRACE_S = 20.0  # from SIGTERM to SIGKILL for those that another's end has left behind; VFT_GRACE_S
NO_RESTART = (0, 2, 3, 4, 130, 143)  # done, the user's mistakes, and stopped when asked


def entry(argv: Sequence[str]) -> int:
  """The exit code of the process that failed first, or 0."""
  parser = argparse.ArgumentParser("vft launch", description="Start and watch N processes of one run on this machine. "
                                   "When one dies the others are ended.")
  parser.add_argument("-n", type=int, required=True, help="processes")
  parser.add_argument("--restarts", type=int, default=0, help="how often all start again after a failure")
  parser.add_argument("--port", type=int, default=0, help="of process 0 on 127.0.0.1; 0 = a free one")
  parser.add_argument("command", nargs=argparse.REMAINDER, help="-- train --config=...")
  args = parser.parse_args(argv)
  command = args.command[1:] if args.command[:1] == ["--"] else args.command
  if args.n < 1 or not command:
    parser.error("expected such as: vft launch -n 2 -- train --config=medical")
  group, code = Group(args.n, command, args.port), 0
  for start in range(args.restarts + 1):
    if start:
      print(f"vft launch: starting all {args.n} again ({start} of {args.restarts})", file=sys.stderr)
    code = group.run()
    if code in NO_RESTART:
      break
  return code


class Group:
  """N processes of one run. SIGTERM and SIGINT go to process 0, which stops all of them after the same step."""

  def __init__(self, count: int, command: Sequence[str], port: int = 0):
    self._count, self._command, self._port = count, list(command), port
    self._processes: list[subprocess.Popen[bytes]] = []
    self._asked = 0
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._hand_on)

  def _hand_on(self, number: int, frame: FrameType | None) -> None:
    del frame
    self._asked = number
    for process in self._processes[:1]:
      with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)

  def run(self) -> int:
    """Starts all, and comes back when all have ended, with the code of the first that failed."""
    if self._asked:
      return 128 + self._asked
    port = self._port or _free_port()
    for process in range(self._count):
      where = {"VFT_COORDINATOR": f"127.0.0.1:{port}", "VFT_PROCESSES": str(self._count), "VFT_PROCESS": str(process)}
      self._processes[process:] = [subprocess.Popen(  # noqa: S603
          [sys.executable, "-m", "vft.cli", *self._command], env={**os.environ, **where}, start_new_session=True,
          stdout=None if process == 0 else subprocess.DEVNULL, stderr=subprocess.PIPE)]
    if self._asked:  # while they were being started
      self._hand_on(self._asked, None)
    readers = [threading.Thread(target=_copy, args=(p.stderr, f"[{i}] " if self._count > 1 else ""), daemon=True)
               for i, p in enumerate(self._processes)]
    for reader in readers:
      reader.start()
    code = self._watch()
    for reader in readers:
      reader.join(2)
    return code

  def _watch(self) -> int:
    first: tuple[int, int] | None = None  # number and code of the first that failed
    end = float("inf")
    grace = float(os.environ.get("VFT_GRACE_S", GRACE_S))
    running = True
    while running:
      running = any([p.poll() is None for p in self._processes])  # a list: asks all
      failed = [(i, p.returncode) for i, p in enumerate(self._processes) if p.returncode]
      if failed and not first:
        first = min(failed, key=lambda of: of[1])  # killed before ended: of two at once, the cause
        end = time.monotonic() + grace
        if not self._asked:
          print(f"vft launch: process {first[0]} of {self._count} {_said(first[1])}; the others end within {grace:g} s",
                file=sys.stderr)
      if time.monotonic() > end:
        for process in self._processes:
          if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
              os.killpg(process.pid, signal.SIGKILL)
      time.sleep(0.1)
    code = first[1] if first else 0
    return 128 - code if code < 0 else code


def _said(code: int) -> str:
  return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"


def _free_port() -> int:
  with socket.create_server(("127.0.0.1", 0)) as listener:
    return listener.getsockname()[1]


def _copy(source: IO[bytes] | None, prefix: str) -> None:
  """Lines of a process, each with its number before it."""
  for line in source or ():
    sys.stderr.write(prefix + line.decode(errors="replace"))
    sys.stderr.flush()
