"""Videos as the model sees them, with what it says below: the label of the moment and the curve of probabilities."""
import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import matplotlib
import numpy as np
from ml_collections import ConfigDict
from PIL import Image, ImageDraw, ImageFont

from vft import tasks
from vft.data import readers
from vft.errors import ConfigError, DataError
from vft.predict.lines import Lines
from vft.predict.videos import Video

SIDE, PANEL = 384, 112  # pixels: of the square picture, and the height of what stands below
CURVE = (8, 44, SIDE - 8, PANEL - 26)  # left, top, right, bottom in the panel
SHOWN = 4  # curves, of the classes that are the most probable somewhere
FPS = 25.0  # at most
PART = 64  # frames in memory
COLOURS = [tuple(int(255 * x) for x in c) for c in matplotlib.colormaps["Set2"].colors]  # pyright: ignore


def names(videos: Sequence[Video]) -> dict[str, str]:
  """{video: the name of its mp4}; of two that are called the same the second one has a number."""
  used: dict[str, str] = {}
  for video in dict.fromkeys(map(str, videos)):
    stem = Path(video).stem
    name, count = f"{stem}.mp4", 1
    while name in used.values():
      count += 1
      name = f"{stem}_{count}.mp4"
    used[video] = name
  return used


def check(folder: Path, videos: Sequence[Video]) -> None:
  """Raises ConfigError where a video would take the place of another file."""
  there = [name for name in names(videos).values() if (folder / name).exists()]
  if there:
    raise ConfigError(f"{folder / there[0]} exists already; choose another folder for --annotate, or remove it.")


def write(path: Path, video: Video, lines: Lines, rows: np.ndarray, wanted: Sequence[tasks.Task],
          thresholds: Mapping[str, Any], config: ConfigDict) -> None:
  """Writes an mp4 of a video whose lines are `rows`, a few seconds of it in memory. Raises DataError.

  Below the picture stands a panel for each task; `thresholds` of tasks decide as in `tasks.decide`.
  """
  assert lines.start_s is not None and lines.end_s is not None
  reading = readers.options(config.data)
  middle = (lines.start_s[rows] + lines.end_s[rows]) / 2
  info = readers.probe(str(video), **reading)
  fps = min(info.fps, FPS)
  times = np.arange(max(1, round(info.duration_s * fps))) / fps
  panels = [_Panel(task, middle, lines.outputs[task.name][rows], thresholds.get(task.name), info.duration_s,
                   task.name if len(wanted) > 1 else "") for task in wanted]
  partial = path.with_name(f".{path.name}.tmp")
  with contextlib.ExitStack() as undo:
    undo.callback(partial.unlink, missing_ok=True)
    with av.open(str(partial), "w", format="mp4") as out:
      stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
      stream.width, stream.height = SIDE, SIDE + PANEL * len(panels)
      stream.pix_fmt, stream.options = "yuv420p", {"crf": "23"}
      for at, pixels in _frames(video, times, reading):
        line = int(np.abs(middle - at).argmin())
        whole = np.concatenate([pixels, *(panel.at(at, line) for panel in panels)])
        out.mux(stream.encode(av.VideoFrame.from_ndarray(whole, format="rgb24")))
      out.mux(stream.encode())
    partial.replace(path)


def write_all(folder: Path, files: Mapping[str, str], videos: Sequence[Video], lines: Lines,
              wanted: Sequence[tasks.Task], thresholds: Mapping[str, Any], config: ConfigDict) -> dict[Video, str]:
  """An mp4 in `folder` of each video that has lines; those that cannot be read, with reasons."""
  folder.mkdir(parents=True, exist_ok=True)
  unread: dict[Video, str] = {}
  owner = np.array(lines.path, str)
  for video in dict.fromkeys(videos):
    there = np.flatnonzero((owner == str(video)) | (owner == os.path.abspath(video)))
    if len(there):
      try:
        write(folder / files[str(video)], video, lines, there, wanted, thresholds, config)
      except DataError as e:
        unread[video] = str(e)
  return unread


def _frames(video: Video, times: np.ndarray, reading: dict[str, Any]) -> Iterator[tuple[float, np.ndarray]]:
  for start in range(0, len(times), PART):
    part = times[start:start + PART]
    yield from zip(part.tolist(), readers.read_clip(str(video), part, resize=SIDE, **reading), strict=True)


class _Panel:
  """What stands below a picture of one task: drawn once, but for the label and the moment."""

  def __init__(self, task: tasks.Task, middle: np.ndarray, outputs: np.ndarray, thresholds: Any, duration_s: float,
               name: str):
    self._task, self._duration_s, self._name, self._outputs = task, max(duration_s, 1e-6), name, outputs
    self._said = tasks.decide(task, outputs, thresholds)
    low, high = (outputs.min(), outputs.max()) if task.kind == "regression" else (0.0, 1.0)
    self._shown = np.sort(np.argsort(-outputs.max(axis=0), kind="stable")[:SHOWN])
    self._range = f"{low:.4g} to {high:.4g}"
    self._font, self._small = ImageFont.load_default(20), ImageFont.load_default(13)
    self._base = Image.new("RGB", (SIDE, PANEL), (24, 24, 28))
    draw = ImageDraw.Draw(self._base)
    left, top, right, bottom = CURVE
    draw.rectangle(CURVE, outline=(80, 80, 88))
    if thresholds is None:
      draw.line([(left, (top + bottom) / 2), (right, (top + bottom) / 2)], fill=(60, 60, 66))
    cuts: dict[int, float] = {} if thresholds is None else {1: thresholds} if task.kind == "single" else dict(
        enumerate(thresholds))
    for place, k in enumerate(self._shown):
      if k in cuts:  # dashed: from there on it is said
        y = float(bottom - (bottom - top) * cuts[k])
        for x in range(left, right, 8):
          draw.line([(x, y), (x + 3, y)], fill=COLOURS[place])
      heights = bottom - (bottom - top) * (outputs[:, k] - low) / max(high - low, 1e-6)
      across = self._across(middle)
      points = [(left, heights[0]), *zip(across, heights, strict=True), (right, heights[-1])]
      draw.line([(float(x), float(y)) for x, y in points], fill=COLOURS[place], width=2, joint="curve")

  def at(self, seconds: float, line: int) -> np.ndarray:
    """The panel (PANEL, SIDE, 3) at a moment, of which a line tells."""
    image, label, values = self._base.copy(), self._said[line], self._outputs[line]
    draw = ImageDraw.Draw(image)
    x = float(self._across(seconds))
    draw.line([(x, CURVE[1] + 1), (x, CURVE[3] - 1)], fill=(255, 255, 255), width=2)
    draw.text((8, 8), _cut(label, 18 if self._name else 24), font=self._font, fill=(255, 255, 255))
    draw.text((SIDE - 8, 12), f"{_cut(self._name, 16)}  {seconds:.1f} s".strip(), font=self._small,
              fill=(200, 200, 205), anchor="ra")
    place, width = 8.0, (SIDE - 16) / max(len(self._shown), 1)
    for number, k in enumerate(self._shown if self._task.classes else ()):
      text = f"{_cut(self._task.classes[k], int(width / 7) - 5)} {values[k]:.2f}"
      draw.text((place, PANEL - 20), text, font=self._small, fill=COLOURS[number])
      place += width
    if not self._task.classes:
      draw.text((8, PANEL - 20), self._range, font=self._small, fill=COLOURS[0])
    return np.asarray(image)

  def _across(self, seconds: Any) -> Any:
    return CURVE[0] + (CURVE[2] - CURVE[0]) * np.clip(np.asarray(seconds) / self._duration_s, 0, 1)


def _cut(text: str, length: int) -> str:
  return text if len(text) <= length else f"{text[:max(length - 1, 1)]}…"
