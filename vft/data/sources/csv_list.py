"""csv:FILE, one labelled span a line: path, label, and if known group (patient), split, start_s, end_s, id."""
from __future__ import annotations

import csv
import io
import math
import os
import unicodedata
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from vft import storage
from vft.data.sources import COLUMNS, SPLIT_NAMES
from vft.data.sources.layout import Layout
from vft.data.sources.paths import inside
from vft.errors import DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd

GROUP_NAMES = ("group", "patient", "patient_id")  # overlooking one of these would let patients leak between splits


def read_cells(file: str, data: bytes) -> pd.DataFrame:
  """All cells of a CSV file as text; blank lines stay. Raises DataError, with the line where it can."""
  import pandas as pd
  try:
    text = data.decode("utf-8-sig")
  except UnicodeDecodeError as e:
    raise DataError(f"{file}, line {data[:e.start].count(10) + 1}: not UTF-8.\nSave it as UTF-8, or type: iconv "
                    f"-f latin1 -t utf-8 {file} > new.csv") from None
  expected = "Expected a first line such as path,label,group and as many cells in each other line."
  try:
    lines = csv.reader(io.StringIO(text, newline=""))
    names = next(lines, [])
    width = len(names)
    for cells in lines:
      if any(cell.strip() for cell in cells[width:]):  # pandas would leave them out, and the others in wrong columns
        raise DataError(f"{file}, line {lines.line_num}: {len(cells)} cells, but line 1 has {width}: {cells}.\n"
                        f"{parted_otherwise(names)}{expected} A cell with a comma in it stands in double quotes.")
    with warnings.catch_warnings(action="ignore", category=pd.errors.ParserWarning):  # of empty cells at the end
      return pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False, index_col=False)
  except (csv.Error, pd.errors.ParserError, pd.errors.EmptyDataError) as e:
    raise DataError(f"{file}: {str(e).strip()}.\n{expected}") from None


def parted_otherwise(names: Sequence[str]) -> str:
  """A line of a message where the cells of line 1 are parted by no comma, as Excel writes them in some countries."""
  other = next((mark for mark in (";", "\t") if any(mark in name for name in names)), "")
  return f"Its cells are parted by {other!r}: save it with commas, and numbers with points.\n" if other else ""


class CsvSource(Layout):
  """`folder` is the file. Paths are relative to `root`, by default the folder of the file, and may not leave it."""

  @property
  def file(self) -> str:
    """Name of the CSV file."""
    return self.folder

  def read(self, path: str) -> str:
    """Under the other spelling of its letters, such as an accent of its own, where the file is called so."""
    root = self.root or storage.parent(self.file)
    name = inside(root, path, self.follow_links)
    if path.isascii() or storage.is_remote(name) or os.path.lexists(name):
      return name
    others = (inside(root, unicodedata.normalize(form, path), self.follow_links) for form in ("NFC", "NFD"))
    return next(filter(os.path.lexists, others), name)

  def rows(self) -> pd.DataFrame:
    """Raises DataError, with line numbers, for whatever is missing, double, unknown or outside the root."""
    import pandas as pd
    table = self._parse()
    group = next((g for g in GROUP_NAMES if g in table), None)
    rows = pd.DataFrame({"path": table["path"], **{c: table[c] for c in self.columns},
                         "group": table[group] if group else "",
                         "split": table["split"].str.lower() if "split" in table else "", "id": "",
                         "start_s": 0.0, "end_s": math.nan,
                         "where": [f"{self.file}, line {i + 2}" for i in table.index]})
    self._stop("no path", table, rows.path == "", "the name of a video")
    if len(self.columns) == 1:
      self._stop("no label", table, rows[self.columns[0]] == "", "a label")
    for i in rows.index[~rows.split.isin(tuple(SPLIT_NAMES))][:1]:
      raise DataError(f"{self.file}, line {i + 2}: split {rows.split[i]!r} is unknown"
                      f"{did_you_mean(rows.split[i], SPLIT_NAMES)}\nExpected train, val, test or nothing.")
    rows["split"] = rows.split.map(SPLIT_NAMES)
    for column, default in (("start_s", 0.0), ("end_s", math.nan)):
      if column in table:
        seconds = pd.to_numeric(table[column].replace("", str(default)), errors="coerce")
        self._stop(f"{column} is no number", table, seconds.isna() & (table[column] != ""), "seconds, such as 12.5")
        rows[column] = seconds.astype(float)
    self._stop("an impossible span", table, (rows.start_s < 0) | (rows.end_s <= rows.start_s), "0 <= start_s < end_s")
    spans = pd.DataFrame(dict(path=rows.path, start=rows.start_s, end=rows.end_s))
    self._stop("a span that stands in the file before", table, spans.duplicated(), "each span once")
    rows["id"] = table["id"] if "id" in table else rows.path.where(
        ~rows.path.duplicated(keep=False), rows.path + "@" + rows.start_s.astype(str))
    if "id" not in table:  # spans of two tasks may begin together
      rows["id"] = rows.id.where(~rows.id.duplicated(keep=False), rows.id + "-" + rows.end_s.astype(str))
    self._stop("an id that stands in the file before", table, rows.id.duplicated(), "each id once")
    for i, path in rows.path.drop_duplicates().items():
      try:
        self.read(str(path))
      except DataError as e:
        raise DataError(f"{self.file}, line {i + 2}: {e}") from None  # type: ignore[operator]
    rows["video"] = rows.path
    return rows[list(dict.fromkeys([*COLUMNS, *self.columns, "where"]))].reset_index(drop=True)

  def _parse(self) -> pd.DataFrame:
    """All cells as stripped text, the index counting lines from 0 at line 2."""
    try:
      data = storage.read_bytes(self.file)
    except OSError as e:
      raise DataError(f"{self.file}: {storage.reason(e)}.\nExpected a CSV file with columns path and label, as in "
                      "--config.data.source=csv:/data/clips.csv.") from None
    table = read_cells(self.file, data)
    known = {c.lower(): c for c in self.columns}
    lower = [str(c).strip().lower() for c in table.columns]
    names = [c.strip().lower() for c in next(csv.reader(io.TextIOWrapper(io.BytesIO(data), "utf-8-sig")))]
    for column in {"path", *known, *GROUP_NAMES, *COLUMNS}:
      if names.count(column) > 1:
        raise DataError(f"{self.file}, line 1: the column {column!r} stands there {names.count(column)} times: {names}."
                        "\nExpected it once: remove or rename the others.")
    table.columns = [known.get(c, c) for c in lower]
    for column in ("path", *self.columns):
      if column not in table:
        raise DataError(f"{self.file}, line 1: no column {column!r}{did_you_mean(column, table.columns)} Found "
                        f"{list(table.columns)}.\n{parted_otherwise(lower)}Expected path,{','.join(self.columns)} "
                        "and, if known, group,split,start_s,end_s,id.")
    table = table.fillna("").apply(lambda cells: cells.str.strip())
    for column in table.columns.drop("path"):  # a patient or a class spelt with other bytes is no other one
      table[column] = table[column].str.normalize("NFC")
    for column in {*self.columns, *GROUP_NAMES} & {*table.columns}:  # as str() of pandas writes what is not known
      table[column] = table[column].where(table[column].str.lower() != "nan", "")
    table = table[(table != "").any(axis=1)]
    if table.empty:
      raise DataError(f"{self.file}: no line but the first.\nExpected one line per labelled video.")
    return table

  def _stop(self, what: str, table: pd.DataFrame, wrong: pd.Series, expected: str) -> None:
    """Raises DataError if any row is `wrong`, showing the first."""
    if wrong.any():
      i = int(table.index.to_numpy()[wrong.to_numpy().argmax()])  # blank lines are left out, but counted
      cells = {k: v for k, v in table.loc[i].items() if k in (*COLUMNS, *GROUP_NAMES)}
      raise DataError(f"{self.file}, line {i + 2}: {what} ({int(wrong.sum())} such lines): {cells}.\n"
                      f"Expected {expected}.")
