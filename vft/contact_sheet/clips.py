"""Some clips of a split: the whole picture, what the model gets in evaluation, and augmented copies."""
from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from PIL import Image, ImageDraw

from vft import forward, tasks
from vft.data import readers
from vft.data.clip_reader import ClipReader
from vft.data.manifest import Manifest
from vft.errors import DataError

WHOLE = 360  # pixels, at most, of either side of a whole picture
BOX = (255, 196, 0)


@dataclasses.dataclass(frozen=True)
class Strip:
  """A clip as the model sees it: frames (T, S, S, 3) uint8 at these seconds (T,) of the video."""
  title: str
  frames: np.ndarray
  times_s: np.ndarray

  @property
  def says(self) -> str:
    """When it is, and whether frames are repeated."""
    first, last = float(self.times_s[0]), float(self.times_s[-1])
    repeated = int((np.diff(self.times_s) == 0).sum())
    also = f", {repeated} of {len(self.times_s)} frames repeat the one before" if repeated else ""
    return f"{self.title}, {first:.2f}{f' to {last:.2f}' if last > first else ''} s{also}"


@dataclasses.dataclass(frozen=True)
class Shown:
  """A clip of the manifest, for people. `whole` is a frame from its middle with a box around what the model sees."""
  id: str
  labels: tuple[str, ...]
  group: str
  says: str  # size, rate and length of the video
  whole: np.ndarray
  strips: tuple[Strip, ...]
  step_s: float  # from frame to frame of the evaluated one


def choose(manifest: Manifest, split: str, count: int, seed: int) -> np.ndarray:
  """(n,) rows of a split: of each class equally many, of other patients first; of a number spread over its values."""
  rows = np.random.default_rng(seed).permutation(np.array(manifest.rows(split)))  # a copy
  if not len(rows):
    raise DataError(f"There are no usable clips in {split!r}; found {sorted(set(manifest.table.split) - {''})}.\nType "
                    "--split=train.")
  task = manifest.tasks[0]
  if task.kind == "regression":
    values = manifest.labels(rows)[task.name]
    rows = rows[np.argsort(values, kind="stable")]
    return rows[np.unique(np.linspace(0, len(rows) - 1, count).astype(int))]
  order = pd.DataFrame({"row": rows, "cell": manifest.table[task.name].to_numpy(str)[rows],
                        "group": manifest.groups(rows)})
  order["again"] = order.groupby("group").cumcount()
  order = order.sort_values("again", kind="stable")
  order["turn"] = order.groupby("cell").cumcount()
  return order.sort_values("turn", kind="stable").head(count).sort_values("cell", kind="stable").row.to_numpy()


def show(manifest: Manifest, config: ConfigDict, pixels: forward.Pixels, rows: np.ndarray, copies: int,
         tick: Callable[[int], None] = lambda done: None) -> tuple[list[Shown], dict[str, float]]:
  """What is on the sheet of `rows`, and least, mean and largest value of the model's input over the evaluated ones.

  Clips that cannot be decoded are left out. `copies` augmented ones of each, where config.augment is enabled.
  """
  read, plain = ClipReader.make(manifest, config, views=1), pixels._replace(mean=(0.0,) * 3, std=(1.0,) * 3)
  if pixels.channels == 1:
    plain = plain._replace(mean=(0.0,), std=(1.0,))
  inputs = jax.jit(forward.inputs, static_argnames=("pixels", "train"))
  shown, values = [], []
  for done, row in enumerate(rows.tolist(), 1):
    wanted = [(False, 0), *((True, copy) for copy in range(copies if pixels.augment else 0))]
    batch = read((np.full(len(wanted), row), np.array([c for _, c in wanted]), np.array([t for t, _ in wanted])))
    tick(done)
    if not batch["mask"].all():
      continue
    strips = []
    for i, (train, copy) in enumerate(wanted):
      one = {k: batch[k][i:i + 1] for k in ("video", "row", "copy")}
      video = np.asarray(inputs(one, plain, train))[0]
      strips.append(Strip(f"augmented, copy {copy + 1}" if train else "evaluated", _grey_to_colour(video),
                          batch["time_s"][i, 0]))
      if not train:
        values.append((video - np.array(pixels.mean)) / np.array(pixels.std))
    shown.append(_shown(manifest, config, int(row), tuple(strips)))
  if not shown:
    raise DataError(f"None of the {len(rows)} clips could be decoded. To see why: vft check --full")
  return shown, {name: float(f(values)) for name, f in (("low", np.min), ("mean", np.mean), ("high", np.max))}


def _shown(manifest: Manifest, config: ConfigDict, row: int, strips: tuple[Strip, ...]) -> Shown:
  entry: Any = manifest.table.iloc[row]
  content, reading = manifest.source.read(entry.path), readers.options(config.data)
  info = readers.probe(content, **reading)
  middle = strips[0].times_s[len(strips[0].times_s) // 2:][:1]
  frame, _ = next(readers.look(content, middle, resize=config.data.resize, **reading))
  whole = entry.end_s - entry.start_s >= info.duration_s - 0.001
  span = "" if whole else f", labelled {entry.start_s:.4g} to {entry.end_s:.4g} s"
  steps = np.diff(strips[0].times_s)
  return Shown(
      str(entry.id), tuple(_label(t, str(entry[t.name])) for t in manifest.tasks),
      str(entry.group) if manifest.grouped_by == "patient" else "",
      f"{info.width} x {info.height}, {info.fps:.4g} Hz, {info.duration_s:.4g} s{span}", _whole(frame, config.data),
      strips, float(np.median(steps[steps > 0])) if (steps > 0).any() else 0.1)


def _label(task: tasks.Task, cell: str) -> str:
  return (cell or "unknown") if task.name == "label" else f"{task.name}: {cell or 'unknown'}"


def _whole(frame: np.ndarray, data: ConfigDict) -> np.ndarray:
  """(H, W, 3) uint8, made smaller, with a box around the centre that the model sees; of a sector without one."""
  image = Image.fromarray(frame)
  image.thumbnail((WHOLE, WHOLE), Image.Resampling.LANCZOS)
  if data.crop == "centre":
    half = min(image.size) * data.size / data.resize / 2
    x, y = image.width / 2, image.height / 2
    ImageDraw.Draw(image).rectangle((max(0, x - half), max(0, y - half), min(image.width, x + half) - 1,
                                     min(image.height, y + half) - 1), outline=BOX, width=2)
  return np.asarray(image)


def _grey_to_colour(video: np.ndarray) -> np.ndarray:
  """(T, S, S, C) in 0..1 -> (T, S, S, 3) uint8."""
  video = np.clip(np.rint(video * 255), 0, 255).astype(np.uint8)
  return np.repeat(video, 3, axis=-1) if video.shape[-1] == 1 else video
