"""dicom:FOLDER, DICOM files by patient: labels by a CSV file beside them (path,label), or else by folders (as folder:).

The CSV file is FOLDER/labels.csv or FOLDER.csv, its paths relative to FOLDER; it may have the columns of csv:, too.
A patient is named p0007-<salted hash of its number>, counted in the order of rows: whatever sorts patients, such as
splits, does not depend on the salt. Paths are kept as they are: rename files that carry names.
"""
from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING

from vft import storage
from vft.data.sources.csv_list import CsvSource
from vft.data.sources.folder import FolderSource
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd


class DicomSource(Layout):
  """Paths may not leave `root`, by default the folder."""

  def read(self, path: str) -> str:
    return self._inner().read(path)

  def rows(self) -> pd.DataFrame:
    """Raises DataError as CsvSource and FolderSource do. A group column of the CSV file is hashed, too."""
    from vft.data.dicom_identity import patient_of, pseudonym
    inner = self._inner()
    try:
      rows = inner.rows()
    except DataError as e:
      raise e if isinstance(inner, CsvSource) else DataError(
          f"{e}\nOr write {storage.join(self.folder, 'labels.csv')} with columns path and label.") from None
    rows = rows[[PurePath(str(p)).name.upper() != "DICOMDIR" for p in rows.path]].reset_index(drop=True)
    paths = dict.fromkeys(rows.path)
    by_header = {path: patient_of(self.read(path)) for path in paths}
    listed = [pseudonym(group) if group else "" for group in rows.group]
    same = {by_header[path]: name for path, name in zip(rows.path, listed, strict=True)
            if name and by_header[path]}
    hashes = [name or same.get(by_header[path], by_header[path])  # one patient, where some rows have no group
              for path, name in zip(rows.path, listed, strict=True)]
    number = {h: i for i, h in enumerate(dict.fromkeys(h for h in hashes if h))}
    return rows.assign(group=[f"p{number[h]:06d}-{h}" if h else "" for h in hashes])

  def _inner(self) -> CsvSource | FolderSource:
    folder = self.folder.rstrip("/")
    for file in (storage.join(folder, "labels.csv"), f"{folder}.csv"):
      if storage.is_file(file):
        return CsvSource(file, self.root or self.folder, self.follow_links, self.columns)
    return FolderSource(self.folder, self.root, self.follow_links)
