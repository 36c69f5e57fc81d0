"""hyperkvasir:FOLDER, the labelled videos of HyperKvasir (374): labeled-videos/ with its video-labels.csv.

  labeled-videos/video-labels.csv   Video file,Organ,Finding 1,Classification 1,Detailed description of finding,...
  labeled-videos/lower-gi-tract/pathological-findings/polyps/11305ea5-389a-46c8-95f3-94a1af84247d.avi

A row is a video of the table, looked for by its name anywhere below labeled-videos. Names of folders differ between
copies, so labels come from the table: finding ("Finding 1"), category ("Classification 1"), tract ("Organ"); the option
`level` says which of them `label` is. A second finding, which is free text in the table, is left out. Patients are not
published, nor is a split.
"""
from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import bad_line, make_rows, read_table
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

LEVELS = {"finding": "Finding 1", "category": "Classification 1", "tract": "Organ"}
SUFFIXES = (".avi", ".mp4", ".mkv", ".mov")  # .avi as published; others after a conversion
TABLE = ("the video-labels.csv of HyperKvasir, a first line Video file,Organ,Finding 1,Classification 1,... and for "
         "each video, once, its name and these three labels")


class HyperKvasir(Layout):
  """`level`: what the column label is."""
  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"level": tuple(LEVELS)}
  CHECKED = "github.com/dilaradupont/UGI-endoscopy, file-names/video-labels.csv and search-labels.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing table, a bad line or a video that lies there twice."""
    top = Path(self.folder, "labeled-videos")
    file = top / "video-labels.csv"
    files = self._files(top)
    rows: dict[str, dict[str, Any]] = {}
    for line, row in read_table(file, ("Video file", *LEVELS.values()), ",", TABLE):
      name = row["Video file"].removesuffix(".avi")
      labels = {level: row[column] for level, column in LEVELS.items()}
      if not name or name in rows or not all(labels.values()):
        raise bad_line(file, line, ",".join(row.values()), TABLE)
      rows[name] = dict(labels, path=files.get(name, f"labeled-videos/{name}.avi"), label=labels[self.option("level")],
                        where=f"{file}, line {line}")
    if not rows:
      raise DataError(f"{file}: no line but the first.\nExpected {TABLE}.")
    if others := sorted(set(files) - set(rows)):
      logging.warning("%s has no line for %d videos; they are left out: %s", file, len(others), others[:10])
    return make_rows(rows.values())

  def _files(self, top: Path) -> dict[str, str]:
    """{name: path} of the videos. Raises DataError where two have the same name."""
    found: dict[str, str] = {}
    for file in sorted(top.rglob("*")):
      if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
        path = file.relative_to(self.folder).as_posix()
        if file.stem in found:
          raise DataError(f"{found[file.stem]!r} and {path!r} have the same name.\nExpected each video of "
                          "video-labels.csv once below labeled-videos: remove one of them.")
        found[file.stem] = path
    return found
