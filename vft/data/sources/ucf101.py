"""ucf101:FOLDER, UCF101: ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi, and the lists of ucfTrainTestlist.

Seen in github.com/pytorch/vision, torchvision/datasets/ucf101.py (trainlist01.txt, testlist01.txt: a path, and in train
lists a number after it) and github.com/open-mmlab/mmaction2, tools/data/parse_file_list.py (classInd.txt: "1
ApplyEyeMakeup"; the class is the folder). Clips of a class are in 25 groups, g01 to g25, of 4 to 7 that have much in
common (dbcollection.readthedocs.io, datasets/ucf_101). There is no official val: it is cut out of train, by group.
"""
from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd

LISTS = "ucfTrainTestlist"
VIDEOS = ("UCF-101", "videos", ".")


class Ucf101(Layout):
  """split: which of the three official ones. Class numbers are those of classInd.txt."""

  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"split": (1, 2, 3)}
  CHECKED: ClassVar[str] = "github.com/pytorch/vision, torchvision/datasets/ucf101.py"

  @property
  def classes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  they are in a file
    """Raises DataError if classInd.txt is not there or not as expected."""
    file, names = Path(self.folder, LISTS, "classInd.txt"), {}
    for number, line in read_lines(file, f"{LISTS}/classInd.txt with lines such as '1 ApplyEyeMakeup', beside UCF-101"):
      index, _, name = line.partition(" ")
      if not index.isdecimal() or not name.strip() or int(index) in names:
        raise bad_line(file, number, line, "lines such as '1 ApplyEyeMakeup', each number once")
      names[int(index)] = name.strip()
    return tuple(names[i] for i in sorted(names))

  def rows(self) -> pd.DataFrame:
    """Raises DataError if a list is missing or empty, or names a folder that is no class."""
    root, known, spans = Path(self.folder), set(self.classes), []
    videos = next((v for v in VIDEOS if any((root / v / c).is_dir() for c in known)), VIDEOS[0])
    for split in ("train", "test"):
      file = root / LISTS / f"{split}list{self.option('split'):02d}.txt"
      for number, line in read_lines(file, "lines such as 'ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi 1'"):
        path = line.split()[0]
        label, _, name = path.rpartition("/")
        if label not in known:
          raise DataError(f"{file}, line {number}: {label!r} is no class of classInd.txt{did_you_mean(label, known)}\n"
                          "Expected a path such as ApplyEyeMakeup/v_ApplyEyeMakeup_g08_c01.avi.")
        group = re.search(r"_(g\d+)_c\d+", name)
        spans.append(dict(path=f"{videos}/{path}", label=label, group=f"{label}_{group[1]}" if group else "",
                          split=split, where=f"{file}, line {number}"))
    if not spans:
      raise DataError(f"{root / LISTS}: the lists of split {self.option('split')} are empty.\nExpected a path a line.")
    return make_rows(spans)
