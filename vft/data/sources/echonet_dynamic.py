"""echonet_dynamic:FOLDER with FileList.csv and Videos/*.avi: EF (%), ESV and EDV (ml), split TRAIN, VAL or TEST.

Seen in the publishers' loader, github.com/echonet/dynamic, echonet/datasets/echo.py: a FileName without a suffix is an
.avi file. That loader drops names that have one; here they are kept. Nothing there or in FileList.csv names a patient:
a video is its own patient.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from vft.data.sources import SPLIT_NAMES
from vft.data.sources.annotations import bad_line, make_rows, read_table
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

EXPECTED = "FileList.csv of EchoNet-Dynamic beside its folder Videos, with FileName,EF,ESV,EDV,...,Split"


class EchonetDynamic(Layout):
  """All columns of FileList.csv are kept and can be tasks."""

  CHECKED: ClassVar[str] = "github.com/echonet/dynamic, echonet/datasets/echo.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there is no such list, column or split."""
    file, spans = Path(self.folder, "FileList.csv"), []
    for number, cells in read_table(file, ("FileName", "EF", "Split"), ",", EXPECTED):
      split = SPLIT_NAMES.get(cells["Split"].lower(), "")
      if not split:
        raise bad_line(file, number, ",".join(cells.values()), "TRAIN, VAL or TEST in the column Split")
      spans.append({**cells, "path": f"Videos/{with_suffix(cells['FileName'])}", "split": split,
                    "where": f"{file}, line {number}"})
    if not spans:
      raise DataError(f"{file}: no line but the first.\nExpected {EXPECTED}.")
    return make_rows(spans)


def with_suffix(name: str) -> str:
  """The file name of a video, which FileList.csv gives with or without .avi."""
  return name if Path(name).suffix else f"{name}.avi"
