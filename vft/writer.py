"""Where a run leaves its track: metrics.jsonl, TensorBoard and a progress line. The only file that knows a logger."""
import contextlib
import json
import math
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from tensorboardX import record_writer, summary
from tensorboardX.proto import event_pb2

_proto: Any = event_pb2  # its classes are made at import, unseen by type checkers


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


class Writer:
  """Writes to `workdir` while a run lasts; a disk that fails costs one warning, never the run.

  TensorBoard events go to `tb/` in this thread: tensorboardX's own SummaryWriter waits forever once its thread has
  met a full disk. Texts and images need TensorBoard; without it they are dropped.
  """

  def __init__(self, workdir: Path, *, tensorboard: bool, progress: bool, total_steps: int = 0):
    self._path = Path(workdir) / "metrics.jsonl"
    self._warned: set[str] = set()
    self._torn = False  # whether the last line may be incomplete
    self._flushed = -math.inf
    self._events: record_writer.RecordWriter | None = None
    self._line = _Progress(total_steps) if progress else None
    if tensorboard:
      with self._careful("TensorBoard's files"):
        (self._path.parent / "tb").mkdir(parents=True, exist_ok=True)
        name = f"events.out.tfevents.{time.time_ns()}.{os.getpid()}"  # a resumed run may start in the same second
        self._events = record_writer.RecordWriter(str(self._path.parent / "tb" / name))
        self._send(_proto.Event(wall_time=time.time(), file_version="brain.Event:2"))

  def __enter__(self) -> "Writer":
    return self

  def __exit__(self, *_: Any):
    if self._line:
      self._line.close()
    if self._events:
      with self._careful("TensorBoard's files"):
        self._events.close()
      self._events = None

  def write(self, step: int, split: str, scalars: Mapping[str, Any]):
    """Appends one line to metrics.jsonl (what is not finite becomes null) and the numbers to TensorBoard."""
    values = {k: _plain(v) for k, v in scalars.items()}
    text = json.dumps({"step": int(step), "split": split, **values}, allow_nan=False)
    with self._careful("metrics.jsonl"):
      start, self._torn = "\n" if self._torn else "", True
      with self._path.open("a") as file:
        file.write(f"{start}{text}\n")
      self._torn = False
    self._event(step, *(summary.scalar(f"{split}/{k}", v) for k, v in values.items() if isinstance(v, int | float)))

  def truncate(self, step: int):
    """Drops what was written after `step`, so that a run resumed there leaves no line twice; mends a torn last line."""
    if self._path.exists():
      with self._careful("metrics.jsonl"):
        kept = [line for line in read_metrics(self._path) if line["step"] <= step]
        temporary = self._path.with_suffix(".tmp")
        temporary.write_text("".join(json.dumps(line) + "\n" for line in kept))
        os.replace(temporary, self._path)
    start = _proto.SessionLog(status=_proto.SessionLog.START)
    self._send(_proto.Event(wall_time=time.time(), step=step + 1, session_log=start))

  def images(self, step: int, name: str, images: np.ndarray):
    """Images (N, H, W, 3) uint8 to TensorBoard, as name/0, name/1, ..."""
    self._event(step, *(_image(f"{name}/{i}", image) for i, image in enumerate(images)))

  def confusion(self, step: int, name: str, matrix: np.ndarray, classes: Sequence[str]):
    """Counts (K, K), rows the true class, to TensorBoard: a heat map (up to 30 classes) and a table with the names."""
    if len(classes) <= 30:
      self._event(step, _image(f"{name}/map", draw_confusion(matrix)))
    named = [f"{i} {c}" for i, c in enumerate(classes)]
    rows = ["| true \\ predicted | " + " | ".join(named) + " | recall |", "|---" + "|---:" * (len(classes) + 1) + "|"]
    for i, row in enumerate(np.asarray(matrix)):
      recall = f"{row[i] / row.sum():.2f}" if row.sum() else "–"
      rows.append(f"| **{named[i]}** | " + " | ".join(str(int(v)) for v in row) + f" | {recall} |")
    self._event(step, summary.text(name, "\n".join(rows)))

  def started(self, chosen: Mapping[str, bool | float | str]):
    """The table of hyperparameters: what this run was given. TensorBoard finds names and figures over all runs."""
    _, start, _ = summary.hparams(dict(chosen), {})
    self._event(0, start)

  def finished(self, step: int, figures: Mapping[str, float]):
    """The same table: what came out, by names such as "video/accuracy"; not in metrics.jsonl."""
    _, _, end = summary.hparams({}, {})
    self._event(step, *(summary.scalar(f"test/{k}", v) for k, v in figures.items() if math.isfinite(v)), end)

  def progress(self, step: int, *, loss: float, clips_per_s: float, causes: str = ""):
    """Shows how far the run is: live on a terminal, else a plain line at most every 10 s. `causes` is Clock.text()."""
    if self._line:
      self._line.show(step, f"loss {loss:.4f} · {clips_per_s:.{1 if clips_per_s < 100 else 0}f} clips/s", causes)

  def status(self, text: str, clips_per_s: float, done: int, total: int):
    """Shows the progress of what comes before the steps, such as the feature pass."""
    if self._line:
      left = duration((total - done) / clips_per_s) if clips_per_s else "?"
      self._line.say(f"{text} · {clips_per_s:.1f} clips/s · {left} left", done, total)

  def _event(self, step: int, *summaries: Any):
    for item in summaries:
      self._send(_proto.Event(wall_time=time.time(), step=int(step), summary=item))
    if self._events and time.monotonic() - self._flushed > 5:  # s; it waits for the disk
      self._flushed = time.monotonic()
      with self._careful("TensorBoard's files"):
        self._events.flush()

  def _send(self, event: Any):
    if self._events:
      with self._careful("TensorBoard's files"):
        self._events.write(event.SerializeToString())

  @contextlib.contextmanager
  def _careful(self, what: str) -> Iterator[None]:
    try:
      yield
    except OSError as error:
      if what not in self._warned:
        logging.warning("Cannot write %s in %s (%s); training goes on without.", what, self._path.parent, error)
      self._warned.add(what)
      if what != "metrics.jsonl" and self._events:
        with contextlib.suppress(OSError):
          self._events.close()
        self._events = None


def read_metrics(path: Path) -> list[dict[str, Any]]:
  """The lines of a metrics.jsonl; torn or empty ones are left out."""
  lines = []
  for text in Path(path).read_text(errors="replace").splitlines():
    with contextlib.suppress(json.JSONDecodeError):
      lines.append(json.loads(text))
  return [line for line in lines if isinstance(line, dict) and "step" in line]


class _Progress:
  """One line on stderr. Time left is that of the steps of this session, so it holds after a resume too."""

  def __init__(self, total: int):
    self._total, self._first, self._shown = total, None, -math.inf
    self._live, self._task, self._pending = None, None, ""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
      console = Console(stderr=True)
      bar = [BarColumn(16)] if total and console.width >= 110 else []
      self._live = Progress(*bar, TextColumn("{task.description}", markup=False), console=console, transient=True,
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


def _plain(value: Any) -> Any:
  """A Python number, text or None; arrays of one value become numbers, nan and infinities None."""
  value = value.item() if hasattr(value, "item") else value
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _image(name: str, image: np.ndarray) -> Any:
  """(H, W, 3) uint8 -> a TensorBoard summary. The PNG is made here: tensorboardX would ask for Pillow."""
  height, width, _ = image.shape
  rows = np.pad(np.ascontiguousarray(image, np.uint8).reshape(height, width * 3), ((0, 0), (1, 0)))  # filter type 0

  def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
  png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
  png += chunk(b"IDAT", zlib.compress(rows.tobytes())) + chunk(b"IEND", b"")
  value = summary.Summary.Value(tag=name, image=summary.Summary.Image(
      encoded_image_string=png, height=height, width=width, colorspace=3))
  return summary.Summary(value=[value])


# Digits 0 to 9, 3 x 5 pixels: five rows of three bits each.
_DIGITS = ("75557", "26227", "71747", "71717", "55711", "74717", "74757", "71122", "75757", "75717")


def draw_confusion(matrix: np.ndarray) -> np.ndarray:
  """Counts (K, K) -> heat map (H, W, 3) uint8: rows the true class, shade its share of the row, numbers the counts."""
  matrix = np.asarray(matrix)
  size, zoom = 4 * max(2, len(str(int(matrix.max())))) + 6, 4
  share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
  k = len(matrix)
  image = np.full(((k + 1) * size, (k + 1) * size, 3), 255, np.uint8)

  def number(row: int, column: int, value: int, colour: int):
    text = str(int(value))
    top, left = row * size + (size - 5) // 2, column * size + (size - 4 * len(text) + 1) // 2
    for i, digit in enumerate(text):
      bits = np.array([[int(b) for b in f"{int(line):03b}"] for line in _DIGITS[int(digit)]], bool)
      image[top:top + 5, left + 4 * i:left + 4 * i + 3][bits] = colour
  for i in range(k):
    number(0, i + 1, i, 128)
    number(i + 1, 0, i, 128)
    for j in range(k):
      cell = image[(i + 1) * size:(i + 2) * size - 1, (j + 1) * size:(j + 2) * size - 1]
      cell[:] = np.round((1 - share[i, j]) * np.array([235, 240, 250]) + share[i, j] * np.array([20, 70, 150]))
      number(i + 1, j + 1, matrix[i, j], 255 if share[i, j] > 0.5 else 0)
  return image.repeat(zoom, 0).repeat(zoom, 1)
