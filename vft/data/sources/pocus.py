"""pocus:FOLDER, the lung ultrasound of COVID-19 POCUS: pocus_videos/{convex,linear}/Cov-*.gif and the like.

FOLDER is `data` of github.com/jannisborn/covid19_ultrasound. Seen there: the class is in the first three letters of the
name, Cov, Pne, Reg or Vir (pocovidnet/scripts/build_image_dataset.py); the patient in the column "Patient ID / Name" of
data/dataset_metadata.csv, whose Filename has no suffix and "-" where names of files may have "_". Its README says not
to split by frames; that project's own splitter splits by video, vft by patient where the table names one. There is no
official split. It was crawled from the web: videos of one patient may be there under two names.
"""
from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

LABELS = {"cov": "covid", "pne": "pneumonia", "reg": "regular", "vir": "viral"}
SUFFIXES = (".mpeg", ".gif", ".mp4", ".m4v", ".avi", ".mov")
EXPECTED = "pocus_videos/convex or pocus_videos/linear with videos such as Cov-Atlas.gif"


class Pocus(Layout):
  """`probe` is a column, too, and so is what it says here: which of the two is used."""

  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"probe": ("convex", "linear", "both")}
  CHECKED: ClassVar[str] = "github.com/jannisborn/covid19_ultrasound, pocovidnet/scripts/build_image_dataset.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there are no videos of the probe or a name says no class."""
    root, probe = Path(self.folder), self.option("probe")
    videos = root / "pocus_videos"
    if not videos.is_dir():
      raise DataError(f"There is no folder {str(videos)!r}.\nExpected {EXPECTED}.")
    patients, spans = self._patients(), []
    for folder in sorted(p for p in videos.iterdir() if p.name.lower() in ("convex", "linear")):
      for file in sorted(folder.iterdir()) if probe in (folder.name.lower(), "both") else ():
        if file.suffix.lower() not in SUFFIXES or file.name.startswith("."):
          continue
        if file.name[:3].lower() not in LABELS:
          raise DataError(f"{file}: its name says no class.\nExpected Cov, Pne, Reg or Vir at its start, in any case.")
        spans.append(dict(path=file.relative_to(root).as_posix(), label=LABELS[file.name[:3].lower()],
                          group=patients.get(_plain(file.stem), ""), probe=folder.name.lower(), where=str(file)))
    if not spans:
      raise DataError(f"{self.folder}: no videos of the probe {probe!r}.\nExpected {EXPECTED}.")
    return make_rows(spans)

  def _patients(self) -> dict[str, str]:
    """{name of a file as `_plain` gives it: patient}; {} where there is no table."""
    file = Path(self.folder, "dataset_metadata.csv")
    if not file.exists():
      return {}
    read_lines(file, "dataset_metadata.csv in UTF-8")
    table = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8-sig"), newline=""))  # cells may hold line breaks
    wanted = ("Filename", "Patient ID / Name")
    if missing := [name for name in wanted if name not in (table.fieldnames or ())]:
      raise DataError(f"{file}, line 1: no column {missing[0]!r}; found {table.fieldnames}.\nExpected {wanted}.")
    named = {_plain(row[wanted[0]] or ""): (row[wanted[1]] or "").strip() for row in table}
    return {name: patient for name, patient in named.items() if patient.lower() not in ("", "nan", "nd", "n/a")}


def _plain(name: str) -> str:
  return name.strip().lower().replace("_", "-")
