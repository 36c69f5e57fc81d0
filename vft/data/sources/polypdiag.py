"""polypdiag:FOLDER, PolypDiag as packaged with Endo-FM: splits/train.txt, splits/val.txt and videos/.

  splits/train.txt   a video and its label, 0 or 1, a line: clip.mp4,1
  videos/clip.mp4

Endo-FM trains on train.txt, and reports the best epoch on val.txt. Here val.txt is test, and val is cut out of train;
with a splits/test.txt, which Endo-FM's loader would also read, val.txt is val. Labels 0 and 1 are called normal and
abnormal. Patients are not published.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

LABELS = {"0": "normal", "1": "abnormal"}
LIST = "a video and its label a line, such as clip.mp4,1, the label 0 or 1, each video once"


class PolypDiag(Layout):
  """Classes in the order of their numbers, so that "abnormal" is the positive one."""
  classes = tuple(LABELS.values())
  CHECKED = "github.com/med-air/Endo-FM, datasets/ucf101.py, utils/defaults.py and scripts/eval_finetune_polypdiag.sh"

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing list, a bad line or a video in two lists."""
    folder = Path(self.folder, "splits")
    splits = {"train": "train", "val": "val" if (folder / "test.txt").exists() else "test", "test": "test"}
    rows: dict[str, dict[str, Any]] = {}
    for name, split in splits.items():
      file = folder / f"{name}.txt"
      if name == "test" and not file.exists():
        continue
      for number, line in read_lines(file, f"{LIST}; the data set has splits/train.txt and splits/val.txt"):
        video, _, label = (cell.strip() for cell in line.rpartition(","))
        if not video or label not in LABELS:
          raise bad_line(file, number, line, LIST)
        if video in rows:
          raise bad_line(file, number, line, f"{LIST}; it stands in {rows[video]['where']}, too")
        rows[video] = dict(path=f"videos/{video}", label=LABELS[label], split=split, where=f"{file}, line {number}")
    if not rows:
      raise DataError(f"{folder}: no videos in train.txt and val.txt.\nExpected {LIST}.")
    return make_rows(rows.values())
