"""hmdb51:FOLDER, HMDB51: brush_hair/*.avi, and testTrainMulti_7030_splits/brush_hair_test_split1.txt.

Seen in github.com/pytorch/vision, torchvision/datasets/hmdb51.py: lines "NAME.avi 1", where 1 is train and 2 test; 0,
neither, is left out. The class is the folder. There is no official val: it is cut out of train. Which clips come from
one film is not in the lists; names tell it in part, but no rule for that was seen: each clip is its own group.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

LISTS = ("testTrainMulti_7030_splits", "test_train_splits", "splits", ".")
VIDEOS = ("videos", "hmdb51_org", ".")
SPLITS = {"0": "", "1": "train", "2": "test"}


class Hmdb51(Layout):
  """split: which of the three official ones."""

  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"split": (1, 2, 3)}
  CHECKED: ClassVar[str] = "github.com/pytorch/vision, torchvision/datasets/hmdb51.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there are no lists of the split, or a line is not as expected."""
    root, end, spans = Path(self.folder), f"_test_split{self.option('split')}.txt", []
    files = next((found for place in LISTS if (found := sorted((root / place).glob(f"*{end}")))), [])
    if not files:
      raise DataError(f"{self.folder}: no lists *{end} in it or in one of {LISTS[:-1]}.\n"
                      f"Expected {LISTS[0]}/brush_hair{end} and one for each other class.")
    classes = [file.name.removesuffix(end) for file in files]
    videos = next((v for v in VIDEOS if any((root / v / c).is_dir() for c in classes)), VIDEOS[0])
    for file, label in zip(files, classes, strict=True):
      for number, line in read_lines(file, "lines such as 'NAME.avi 1'"):
        name, _, split = line.rpartition(" ")
        if not name or split not in SPLITS:
          raise bad_line(file, number, line, "the name of a video and 0 (unused), 1 (train) or 2 (test)")
        if SPLITS[split]:
          spans.append(dict(path=f"{videos}/{label}/{name.strip()}", label=label, split=SPLITS[split],
                            where=f"{file}, line {number}"))
    if not spans:
      raise DataError(f"{files[0].parent}: all lines of split {self.option('split')} are 0, unused.\nExpected 1 and 2.")
    return make_rows(spans)
