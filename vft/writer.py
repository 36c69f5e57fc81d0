"""Where a run leaves its track: metrics.jsonl, TensorBoard and a progress line. The only file that knows a logger."""
import contextlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from absl import logging
from PIL import Image, ImageDraw, ImageFont
from tensorboardX import record_writer, summary
from tensorboardX.proto import event_pb2

from vft.progress import Progress, duration

_proto: Any = event_pb2  # its classes are made at import, unseen by type checkers


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
    self._line = Progress(total_steps) if progress else None
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


def _plain(value: Any) -> Any:
  """A Python number, text or None; arrays of one value become numbers, nan and infinities None."""
  value = value.item() if hasattr(value, "item") else value
  return None if isinstance(value, float) and not math.isfinite(value) else value


def _image(name: str, image: np.ndarray) -> Any:
  """(H, W, 3) uint8 -> a TensorBoard summary."""
  return summary.image(name, np.asarray(image, np.uint8), dataformats="HWC")


def draw_confusion(matrix: np.ndarray) -> np.ndarray:
  """Counts (K, K) -> heat map (H, W, 3) uint8: rows the true class, shade its share of the row, numbers the counts."""
  matrix, font = np.asarray(matrix, int), ImageFont.load_default(20)
  share = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
  side = 24 + 12 * max(2, len(str(matrix.max())))
  whole = (len(matrix) + 1) * side
  image = Image.new("RGB", (whole, whole), "white")
  pen = ImageDraw.Draw(image)

  def number(row: int, column: int, value: int, colour: str) -> None:
    pen.text(((column + 0.5) * side, (row + 0.5) * side), str(value), colour, font, anchor="mm")
  for i, row in enumerate(matrix):
    number(0, i + 1, i, "grey")
    number(i + 1, 0, i, "grey")
    for j, count in enumerate(row):
      shade = np.round((1 - share[i, j]) * np.array([235, 240, 250]) + share[i, j] * np.array([20, 70, 150]))
      corner = (j + 1) * side, (i + 1) * side
      pen.rectangle((*corner, corner[0] + side - 4, corner[1] + side - 4), tuple(shade.astype(int).tolist()))
      number(i + 1, j + 1, count, "white" if share[i, j] > 0.5 else "black")
  return np.asarray(image)
