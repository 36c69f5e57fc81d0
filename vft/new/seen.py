"""What `vft new` knows of a data set: what `vft check` has left of it, and the colours of a few frames."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data import manifest as manifests
from vft.data import readers
from vft.data.readers import Content
from vft.data.sources import Source, open_source
from vft.errors import DataError

FEW = 10  # different whole numbers in a column that are still classes
LOOKED = 12  # videos of which a frame is looked at for its colours
GREY = 4.0  # mean difference of the colours of a grey picture, of 255
BORDER = 0.1  # share of a side that is black


@dataclass(frozen=True)
class Seen:
  """Lengths are those of the labelled spans; figures are medians where no more is said."""
  kind: str  # of the task
  column: str
  clips: dict[str, int]  # by split
  videos: int
  groups: int
  grouped_by: str
  official: bool  # the source brings splits
  classes: dict[str, int]  # training clips of each
  shortest_s: float  # nine of ten are longer
  length_s: float
  longest_s: float  # nine of ten are shorter
  fps: float
  side: int  # the shorter one, pixels
  largest: tuple[int, int]
  grey: bool
  borders: float  # share of videos with black borders
  stills: float  # share of videos with one frame
  burned_in: int
  dicom: bool = False  # the first video is one
  values: tuple[float, float, float] = (0.0, 0.0, 0.0)  # least, median and largest of a number to predict


def kind_of(cells: pd.Series) -> str:
  """What a column of labels is: "regression", "multi" or "single"."""
  cells = cells[cells != ""].astype(str)
  numbers = pd.to_numeric(cells, errors="coerce")
  if len(cells) and numbers.notna().all() and (numbers.nunique() > FEW or (numbers % 1 != 0).any()):
    return "regression"
  return "multi" if cells.str.contains("|", regex=False).any() else "single"


def column_of(config: ConfigDict, column: str) -> tuple[str, bool]:
  """(kind, whether the source has splits of its own). Raises DataError where there is no such column."""
  table = open_source(config.data.source, config.data, (column,)).rows()
  if table.empty or column not in table:
    raise DataError(f"{config.data.source} has {'no videos' if table.empty else f'no column {column!r}'}.\nGive the "
                    "column to predict with --label=NAME; it has "
                    f"{[c for c in table.columns if c not in (*manifests.COLUMNS, 'where')]}.")
  return kind_of(table[column]), bool((table.split != "").any())


def gather(result: dict[str, Any], output: Path, config: ConfigDict, column: str, official: bool) -> Seen:
  """Reads the folder that `vft check` wrote, and a frame of some videos."""
  files = pd.read_csv(output / "files.csv", keep_default_na=False)
  files = files[files.status == "ok"].astype({"duration_s": float, "fps": float})
  wanted = tasks.make_tasks(config.tasks)
  table = manifests.read_table(output / "manifest.csv", wanted)
  table = table[table.status == "ok"]
  lengths = (table.end_s - table.start_s).to_numpy()
  low, middle, high = (float(np.quantile(lengths, q)) for q in (0.1, 0.5, 0.9))
  task, train = wanted[0], result["counts"].get("train", {"classes": {}})
  numbers = pd.to_numeric(table[task.name], errors="coerce").dropna() if task.kind == "regression" else pd.Series([0.0])
  source = open_source(config.data.source, config.data, (column,))
  return Seen(
      task.kind, column, {s: c["clips"] for s, c in result["counts"].items()}, int(table.video.nunique()),
      int(table.group.nunique()), result["grouped_by"], official,
      {name: c["clips"] for name, c in train["classes"].get(task.name, {}).items()},
      low, middle, high, float(files.fps.median()), int(np.median(np.minimum(files.width, files.height))),
      (int(files.width.max()), int(files.height.max())), _is_grey(source, table.drop_duplicates("path"), config),
      float((files[["left", "top", "right", "bottom"]].astype(float).max(axis=1) >= BORDER).mean()),
      float(files.notes.str.contains("one frame").mean()), int((files.burned_in.astype(str) == "True").sum()),
      _is_dicom(source.read(str(table.path.iloc[0]))),
      (float(numbers.min()), float(numbers.median()), float(numbers.max())))


def _is_dicom(content: Content) -> bool:
  if not isinstance(content, str | bytes) or (isinstance(content, str) and Path(content).is_dir()):
    return False
  with readers.open_bytes(content) as file:
    return file.read(132)[128:] == b"DICM"


def _is_grey(source: Source, videos: pd.DataFrame, config: ConfigDict) -> bool:
  """Whether the middle frames of some videos are grey."""
  apart = []
  for i in np.unique(np.linspace(0, len(videos) - 1, LOOKED).astype(int)):
    path, middle = str(videos.path.iloc[i]), np.array([videos.duration_s.iloc[i] / 2])
    frame = readers.read_clip(source.read(path), middle, resize=64, **readers.options(config.data))
    apart.append(np.ptp(frame.astype(np.int16), axis=-1).mean())
  return float(np.median(apart)) < GREY
