"""One of many processes runs in a child, so that its end is said in plain words: jax aborts when another one dies."""
import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from types import FrameType

from vft.distributed import lost

DEATH = 1  # PR_SET_PDEATHSIG of Linux's prctl


def supervised(work: Callable[[], int]) -> int:
  """The exit code of work(), which runs in a child; SIGTERM and SIGINT are handed on to it. Before threads start."""
  sys.stdout.flush()
  sys.stderr.flush()
  parent, child = os.getpid(), os.fork()
  if child:
    return _watch(child)
  _bind(parent)
  try:
    code = work()
  except Exception:  # of ours: as Python says it at the end, which os._exit leaves out
    traceback.print_exc()
    code = 1
  sys.stdout.flush()
  sys.stderr.flush()
  if code:
    os._exit(code)
  raise SystemExit(0)


def _bind(parent: int) -> None:
  """In the child: it dies with its parent, and Ctrl-C reaches it once, through the parent."""
  os.setpgid(0, 0)
  if sys.platform == "linux":
    ctypes.CDLL(None).prctl(DEATH, signal.SIGKILL)
    if os.getppid() != parent:
      os._exit(5)


def _watch(child: int) -> int:
  def hand_on(number: int, frame: FrameType | None) -> None:
    del frame
    os.kill(child, number)
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, hand_on)
  _, status = os.waitpid(child, 0)
  code = os.waitstatus_to_exitcode(status)
  if code >= 0:
    return code
  name = signal.Signals(-code).name
  if -code == signal.SIGABRT:
    print(f"vft: {lost('jax ended this one; see above')}", file=sys.stderr)
    return 5
  print(f"vft: the process was ended by {name}" + (", as the system does where memory is short" if name == "SIGKILL"
        else "") + ".\nThe same command goes on from the last checkpoint.", file=sys.stderr)
  return 128 - code
