"""Text files that say what is seen when: their lines, runs of equal labels, and the rows they become."""
from __future__ import annotations

import bisect
import csv
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vft.data.sources import COLUMNS
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

Run = tuple[int, int, str]  # first frame, one past the last, label


def read_lines(file: Path, expected: str) -> list[tuple[int, str]]:
  """(number from 1, stripped text) of the lines that are not blank. Raises DataError if there is no such UTF-8 file."""
  try:
    text = file.read_text(encoding="utf-8-sig")
  except OSError as e:
    raise DataError(f"{file}: {e.strerror}.\nExpected {expected}.") from None
  except UnicodeDecodeError as e:
    raise DataError(f"{file}, line {e.object[:e.start].count(10) + 1}: not UTF-8.\nExpected {expected}.") from None
  return [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]


def bad_line(file: Path, number: int, line: str, expected: str) -> DataError:
  """The error of a line that is not as the layout has it."""
  return DataError(f"{file}, line {number}: {line[:200]!r}.\nExpected {expected}.")


def read_table(file: Path, names: Sequence[str], delimiter: str, expected: str) -> list[tuple[int, dict[str, str]]]:
  """(line number, {name: stripped cell}) of a table whose first line has `names`, among others.

  Raises DataError for a name that is not there, or a line that has not as many cells.
  """
  lines = read_lines(file, expected)
  cells = [(i, [c.strip() for c in next(csv.reader([line], delimiter=delimiter))]) for i, line in lines]
  header = cells[0][1] if cells else []
  if missing := [name for name in names if name not in header]:
    raise DataError(f"{file}, line 1: no column {missing[0]!r}; found {header}.\nExpected {expected}.")
  for i, row in cells[1:]:
    if len(row) != len(header):
      raise bad_line(file, i, delimiter.join(row), f"{len(header)} cells, as the first line has: {header}")
  return [(i, dict(zip(header, row, strict=True))) for i, row in cells[1:]]


def read_frames(file: Path, expected: str) -> tuple[list[str], Iterator[tuple[int, int, list[str]]]]:
  """A first line that begins with "Frame", then a line a frame: (its other names, (line number, frame, other cells)).

  Raises DataError, while it is read, for a line with another count of cells or a frame number that does not rise.
  """
  lines = read_lines(file, expected)
  header = lines[0][1].split() if lines else []
  if len(header) < 2 or header[0].lower() != "frame":
    raise DataError(f"{file}, line 1: {lines[0][1] if lines else ''!r}.\nExpected {expected}.")

  def frames() -> Iterator[tuple[int, int, list[str]]]:
    last = -1
    for number, line in lines[1:]:
      frame, *cells = line.split()
      if len(cells) != len(header) - 1 or not frame.isdecimal() or int(frame) <= last:
        raise bad_line(file, number, line, f"{expected}; frame numbers rise, the last was {last}")
      last = int(frame)
      yield number, last, cells
  return header[1:], frames()


def runs(labels: Iterable[tuple[int, str]], step: int = 1) -> list[Run]:
  """(frame, label) in rising order -> runs of equal labels; each label holds for `step` frames from its own on.

  Frames that nothing is said of end a run.
  """
  out: list[Run] = []
  for frame, label in labels:
    if out and out[-1][1] == frame and out[-1][2] == label:
      out[-1] = (out[-1][0], frame + step, label)
    else:
      out.append((frame, frame + step, label))
  return out


def overlay(*tracks: Sequence[Run]) -> list[tuple[int, int, tuple[str, ...]]]:
  """Spans in which the label of each track stays the same, "" where it says nothing; none where no track does."""
  edges = sorted({edge for track in tracks for start, end, _ in track for edge in (start, end)})
  starts = [[run[0] for run in track] for track in tracks]

  def at(track: int, frame: int) -> str:
    i = bisect.bisect_right(starts[track], frame) - 1
    return tracks[track][i][2] if i >= 0 and frame < tracks[track][i][1] else ""
  labels = [tuple(at(i, start) for i in range(len(tracks))) for start in edges[:-1]]
  return [(a, b, x) for (a, b), x in zip(itertools.pairwise(edges), labels, strict=True) if any(x)]


def find_numbered(folder: Path, before: str, after: str) -> dict[int, str]:
  """{7: "07"} for a file BEFORE07AFTER in the folder; {} where there is no folder."""
  names = [p.name for p in folder.iterdir()] if folder.is_dir() else []
  digits = [n[len(before):len(n) - len(after)] for n in names if n.startswith(before) and n.endswith(after)]
  return {int(d): d for d in sorted(digits) if d.isdecimal()}


def make_rows(spans: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
  """Rows of a Source; each span has path, where and labels, and may have group, split, start_s and end_s."""
  import pandas as pd
  usual = dict(group="", split="", start_s=0.0, end_s=math.nan)
  rows = pd.DataFrame([{**usual, **span} for span in spans])
  rows["video"] = rows.path
  rows["id"] = rows.path.where(~rows.path.duplicated(keep=False), rows.path + "@" + rows.start_s.astype(str))
  labels = [c for c in rows if c not in COLUMNS]
  return rows[[*COLUMNS, *labels]].fillna(dict.fromkeys(labels, ""))
