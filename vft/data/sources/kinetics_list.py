"""kinetics_list:FOLDER with a list per split, such as train.csv, val.csv and test.csv: videos and their labels.

Two kinds of list, seen in github.com/facebookresearch/SlowFast, slowfast/datasets/kinetics.py ("path label"),
github.com/Sense-X/UniFormer, video_classification/DATASET.md ("path,label") and, with a first line
label,youtube_id,time_start,time_end,split, in github.com/pytorch/vision, torchvision/datasets/kinetics.py and
github.com/open-mmlab/mmaction2, tools/data/parse_file_list.py: the file is <youtube_id>_<000012>_<000022>.mp4, in the
folder of its split or of its class in there. A list without labels, or with -1 for all (Kinetics' test.csv), is left
out; without a test list official val is tested on, as papers do, and val is cut out of train.
"""
from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources import SPLIT_NAMES
from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd

PLACES = (".", "annotations")  # of the lists and of the file of names
NAMES = ("labels.txt", "classInd.txt", "label_map*.txt")
SPLIT = re.compile(r"(?:^|[-_.])(train|val|validate|validation|test)(?=$|[-_.]|list)", re.IGNORECASE)
YOUTUBE = "youtube_id"  # in the first line of Kinetics' own lists
Lines = list[tuple[int, str]]  # number and text
EXPECTED = ("train.csv, val.csv and test.csv, or such as train_list.txt, there or in annotations/, with lines 'path "
            "label' or 'path,label', or columns youtube_id,time_start,time_end,label")


class KineticsList(Layout):
  """A label is a name, or a number that a file of names turns into one: a name a line, or "1 name".

  Without such a file numbers are names themselves. A label of several words needs a comma before it.
  """

  CHECKED: ClassVar[str] = "github.com/facebookresearch/SlowFast, slowfast/datasets/kinetics.py"

  @property
  def classes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  they are in a file
    """Those of the file of names, by rising number; () without one."""
    names = self._names()
    return tuple(names[i] for i in sorted(names))

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there is no list with labels, two are of one split, or a line is not as expected."""
    found: dict[str, Path] = {}
    for file in (f for place in PLACES for f in sorted(Path(self.folder, place).glob("*.*"))):
      match = SPLIT.search(file.stem) if file.suffix in (".csv", ".txt") else None
      split = _split(match[1]) if match else ""
      if split and split in found:
        raise DataError(f"{found[split]} and {file} are both lists of {split}.\nExpected one: move the other away.")
      if split:
        found[split] = file
    lists = [(split, file, read_lines(file, EXPECTED)) for split, file in found.items()]
    names, spans = self._names(), []
    files = self._videos() if any(YOUTUBE in lines[0][1] for *_, lines in lists if lines) else {}
    for split, file, lines in lists:
      read = self._of_youtube(file, split, lines, files) if lines and YOUTUBE in lines[0][1] else (
          self._of_paths(file, split, lines, names))
      spans += read
    if not spans:
      raise DataError(f"{self.folder}: no list with labels; found {[str(f) for f in found.values()]}.\n"
                      f"Expected {EXPECTED}.")
    if all(span["split"] != "test" for span in spans):
      spans = [{**span, "split": {"val": "test"}.get(span["split"], span["split"])} for span in spans]
    return make_rows(spans)

  def _of_paths(self, file: Path, split: str, lines: Lines, names: dict[int, str]) -> Iterator[dict[str, Any]]:
    if all(re.search(r"[ ,]-1$", line) for _, line in lines):
      return
    for number, line in lines:
      path, separator, label = line.rpartition("," if "," in line else " ")
      path, label = path.strip().strip('"'), label.strip().strip('"')
      if not separator or not path or not label:
        raise bad_line(file, number, line, "'path label' or 'path,label'")
      if names:
        label = names.get(int(label), label) if label.isdecimal() else label
        if label not in names.values():
          raise DataError(f"{file}, line {number}: {label!r} is no class of the file of names"
                          f"{did_you_mean(label, names.values())}\nExpected a number of {sorted(names)[:9]} or a name.")
      yield dict(path=self._find(path, split), label=label, split=split, where=f"{file}, line {number}")

  def _of_youtube(self, file: Path, split: str, lines: Lines, files: dict[str, str]) -> Iterator[dict[str, Any]]:
    header = [name.strip() for name in lines[0][1].split(",")]
    if "label" not in header:
      return
    if missing := [c for c in ("time_start", "time_end") if c not in header]:
      raise DataError(f"{file}, line 1: no column {missing[0]!r}; found {header}.\nExpected {EXPECTED}")
    for number, line in lines[1:]:
      cells = dict(zip(header, next(csv.reader([line])), strict=False))
      try:
        span = f"{int(float(cells['time_start'])):06d}_{int(float(cells['time_end'])):06d}"
      except (KeyError, ValueError):
        raise bad_line(file, number, line, f"cells for {header}, times in seconds") from None
      own = cells.get("split", "").strip()
      if _split(own) is None:
        raise bad_line(file, number, line, "train, val, validate or test in the column split")
      name, own = f"{cells['youtube_id'].strip()}_{span}.mp4", _split(own) or split
      yield dict(path=files.get(name, f"{own}/{name}"), label=cells["label"].strip(), split=own,
                 where=f"{file}, line {number}")

  def _find(self, path: str, split: str) -> str:
    """Relative to the folder, or to that of the videos or of the split in there."""
    places = (path, f"{split}/{path}", f"videos_{split}/{path}", f"videos/{path}")
    return next((p for p in places if Path(self.folder, p).exists()), path)

  def _videos(self) -> dict[str, str]:
    """{name: path} of all mp4 files below the folder."""
    root = Path(self.folder)
    return {file.name: file.relative_to(root).as_posix() for file in sorted(root.rglob("*.mp4"), reverse=True)}

  def _names(self) -> dict[int, str]:
    """{number: name} of the first file of names; {} without one."""
    found = [f for place in PLACES for name in NAMES for f in sorted(Path(self.folder, place).glob(name))]
    if not found:
      return {}
    lines = [line for _, line in read_lines(found[0], "a name a line, or '1 name'")]
    cut = [re.fullmatch(r"(\d+)[\s,]+(.+)", line) for line in lines]
    pairs = [(int(m[1]), m[2].strip()) for m in cut if m]
    names = dict(pairs) if len(pairs) == len(lines) else dict(enumerate(lines))
    if len(set(names.values())) != len(lines):
      raise DataError(f"{found[0]}: a name or a number stands there twice.\nExpected a name a line, or '1 name'.")
    return names


def _split(name: str) -> str | None:
  """train, val or test; "" for nothing, None for another name. Kinetics' own lists say validate."""
  return SPLIT_NAMES.get(name.lower().replace("validate", "val"))
