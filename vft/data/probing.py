"""What the files of a manifest's table say when they are looked at, and warnings about the table as a whole."""
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vft.data import inspection
from vft.data.sources import Source
from vft.errors import DataError, some
from vft.tasks import Task

LATE = "starts after the end"
Inspect = Callable[[Source, list[str], dict[str, Any]], dict[str, inspection.Inspection]]  # as inspection.inspect_all


def probe_all(table: pd.DataFrame, source: Source, reading: dict[str, Any], inspect: Inspect) -> list[str]:
  """Fills status, reason, sha256, duration_s, and end_s where the span goes to the end of the video. Warnings."""
  paths = list(dict.fromkeys(table.path))
  found = inspect(source, paths, reading)
  for column in ("reason", "sha256", "duration_s"):
    table[column] = [getattr(found[p], column) for p in table.path]
  late = table.start_s >= table.duration_s
  table.loc[late, "reason"] = [f"{LATE}: {start:g} s of {length:g} s" for start, length in
                               zip(table.start_s[late], table.duration_s[late], strict=True)]
  table["end_s"] = np.fmin(table.end_s, table.duration_s)
  table["status"] = np.where(table.reason == "", "ok", "skipped")
  burned_in = sum(f.burned_in for f in found.values())
  return [f"{burned_in} of {len(paths)} DICOM files say that text is burned into their pixels: cover it by "
          "config.data.mask, or cut it off by config.data.crop='sector'"] if burned_in else []


def check_bad(table: pd.DataFrame, max_bad_fraction: float) -> list[str]:
  """Warnings with the counts per reason. Raises DataError above `max_bad_fraction` or if nothing is left."""
  late = table.reason.str.startswith(LATE)
  videos = table.drop_duplicates("path")
  bad = table[(table.status == "skipped") & ~late].drop_duplicates("path")
  return [*_counted(bad, len(videos), "videos cannot be used", max_bad_fraction,
                    "videos that can be decoded: repair or remove these"),
          *_counted(table[late], len(table), "spans are not in their video", max_bad_fraction,
                    "start_s and end_s in seconds from the start of the file: correct or remove these")]


def _counted(bad: pd.DataFrame, total: int, what: str, most: float, expected: str) -> list[str]:
  """A warning where there is a bad row of `total` ones. Raises DataError above the share `most` of them."""
  if bad.empty:
    return []
  counts = Counter(cause(reason) for reason in bad.reason).most_common()
  share = f"{len(bad)} of {total} {what} ({len(bad) / total:.1%})"
  counted = "; ".join(f"{n} x {reason}" for reason, n in counts)
  if len(bad) > most * total or len(bad) == total:
    leave_out = "" if len(bad) == total else (", or leave them out with --config.data.max_bad_fraction="
                                              f"{len(bad) / total + 0.01:.2f}")
    raise DataError(f"{share}, more than data.max_bad_fraction, {most:.1%}: {counted}.\n"
                    + some([f"{path!r}: {reason}" for path, reason in zip(bad.path, bad.reason, strict=True)]) +
                    f"\nExpected {expected}{leave_out}.")
  return [f"{share}: {counted}"]


def cause(reason: str) -> str:
  """A reason without its details."""
  return reason.partition(":")[0].partition(" (")[0]


def layout_warnings(source: Source, spec: str) -> list[str]:
  if source.CHECKED:
    return []
  return [f"layout unconfirmed: {spec.partition(':')[0]} was written without a public loader or page of that data set "
          "in sight; compare manifest.csv with your files: labels, splits, patients"]


def group_warnings(table: pd.DataFrame) -> list[str]:
  missing, apart = int((table.group == "").sum()), spelt_apart(table.group)
  if missing == len(table):
    return ["no group (patient) is known: each video counts as its own, so one patient may be in train and in test"]
  rows = [f"{missing} of {len(table)} rows have no group; each of their videos counts as a patient"] if missing else []
  return rows + ([f"{len(apart)} patients (groups) are spelt in several ways, such as {apart[0]}: each counts as a "
                  "patient of its own, so one may be in train and in test"] if apart else [])


def class_warnings(wanted: Sequence[Task]) -> list[str]:
  """Of classes that were found in the data."""
  return [f"{task.name}: {' and '.join(apart)} are classes of their own; if they are one, correct the labels"
          for task in wanted if (apart := spelt_apart(task.classes))]


def spelt_apart(names: Iterable[str]) -> list[str]:
  """Names that differ in case, blanks, leading zeros or a last ".0" alone, as tables that went through Excel have them.

  >>> spelt_apart(["007", "p1", "7", "8", "P 1", "7.0"])
  ["'007' = '7' = '7.0'", "'P 1' = 'p1'"]
  """
  of: dict[str, set[str]] = {}
  for name in set(names) - {""}:
    plain = "".join(name.casefold().split())
    of.setdefault(re.sub(r"(?<![\d.])0+(?=\d)", "", re.sub(r"^(\d+)\.0+$", r"\1", plain)), set()).add(name)
  return sorted(" = ".join(map(repr, sorted(same))) for same in of.values() if len(same) > 1)
