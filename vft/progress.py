"""How long a run takes: seconds by cause, and the line that shows how far it is."""
import contextlib
import math
import os
import sys
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Live


class Clock:
  """Seconds by cause: `with clock("data"): ...`. Of nested causes only the innermost runs, so the sum is real time."""

  def __init__(self, now: Callable[[], float] = time.monotonic):
    self.seconds: dict[str, float] = {}
    self._now, self._start = now, now()
    self._since, self._running = self._start, []

  @contextlib.contextmanager
  def __call__(self, cause: str) -> Iterator[None]:
    self._charge()
    self._running.append(cause)
    try:
      yield
    finally:
      self._charge()
      self._running.pop()

  @property
  def total_s(self) -> float:
    """Seconds since the clock was made."""
    return self._now() - self._start

  def text(self) -> str:
    """Shares of all time since the clock was made, such as "data 3 % · step 90 % · other 7 %"; nothing below 1 %."""
    self._charge()
    total = max(self.total_s, 1e-9)
    rest = {"other": total - sum(self.seconds.values())}
    shares = {k: round(100 * v / total) for k, v in (self.seconds | rest).items()}
    return " · ".join(f"{k} {v} %" for k, v in shares.items() if v >= 1)

  def _charge(self):
    now = self._now()
    if self._running:
      self.seconds[self._running[-1]] = self.seconds.get(self._running[-1], 0.0) + now - self._since
    self._since = now


class Progress:
  """One line on stderr. Time left is that of the steps of this session, so it holds after a resume too."""

  def __init__(self, total: int):
    self._total, self._first, self._shown = total, None, -math.inf
    self._live, self._task, self._pending = None, None, ""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
      console = Console(stderr=True)
      bar = [BarColumn(16)] if total and console.width >= 110 else []
      self._live = Live(*bar, TextColumn("{task.description}", markup=False), console=console, transient=True,
                            refresh_per_second=2, redirect_stdout=sys.stdout.isatty())

  def show(self, step: int, figures: str, causes: str):
    now = time.monotonic()
    self._first = self._first or (step, now)
    done, spent = step - self._first[0], now - self._first[1]
    where = f"step {step}/{self._total}" if self._total else f"step {step}"
    left = f" · {duration(spent / done * (self._total - step))} left" if self._total > step and done > 0 else ""
    self.say(f"{where} · {figures}{left}" + (f" · {causes}" if causes else ""), step, self._total)

  def say(self, text: str, done: int, total: int):
    now = time.monotonic()
    if self._live:
      if self._task is None:
        self._task = self._live.add_task("", total=total or None)
        self._live.start()
      self._live.update(self._task, completed=done, total=total or None, description=text)
      return
    self._pending = text
    if now - self._shown >= 10:
      self._shown = now
      self._flush()

  def close(self):
    if self._live:
      self._live.stop()
    self._flush()

  def _flush(self):
    if self._pending:
      print(self._pending, file=sys.stderr, flush=True)
    self._pending = ""


def duration(seconds: float) -> str:
  """Seconds as a person says them: "8 s", "4 min 12 s", "3 h 05 min".

  >>> duration(252)
  '4 min 12 s'
  """
  s = round(seconds)
  if s < 60:
    return f"{s} s"
  return f"{s // 60} min {s % 60:02d} s" if s < 3600 else f"{s // 3600} h {s % 3600 // 60:02d} min"
