"""Which videos are meant: files, folders, patterns, lists; and whose they are."""
import glob
import logging
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pandas as pd

from vft import storage
from vft.data import readers
from vft.data.sources.csv_list import parted_otherwise, read_cells
from vft.data.sources.folder import NOT_VIDEO
from vft.errors import ConfigError, DataError, did_you_mean

Video = Path | str  # a file or a folder of frames; those at s3:// and the like stay text


def find_videos(paths: list[str]) -> list[Video]:
  """Files as they are, folders searched for videos, patterns (*, ?, **) expanded; - is a list on standard input.

  What is named twice comes once, so that it counts once among the lines of a patient. A CSV file lists videos in its
  column path, relative to its folder; those that are not there stay, to be named later.
  Raises DataError where nothing is found.
  """
  paths = [path for given in paths for path in _expanded(given)]
  found: list[Video] = []
  for path in paths:
    if _is_table(path):
      table = read_list(path)
      if any((table[column] != "").any() for column in ("start_s", "end_s") if column in table):
        logging.warning("%s has spans, which are not read: each of its videos is seen as a whole, once", path)
      found += dict.fromkeys(map(_named, table.path))
    else:
      found += _find_remote(path) if storage.is_remote(path) else _find_here(Path(path))
  if not found:
    raise DataError(f"No files in {', '.join(paths)}.")
  return [*dict.fromkeys(found)]


def read_list(path: str) -> pd.DataFrame:
  """A CSV file of videos as text, names of columns in small letters, its paths made whole. Raises DataError."""
  try:
    table = read_cells(path, storage.read_bytes(path))
  except OSError as e:
    raise DataError(f"{path}: {storage.reason(e)}.\nExpected a CSV file with a column path.") from None
  table.columns = [str(c).strip().lower() for c in table.columns]
  if "path" not in table:
    raise DataError(f"{path}, line 1: no column 'path'{did_you_mean('path', table.columns)} Found "
                    f"{list(table.columns)}.\n{parted_otherwise(list(table.columns))}Expected path and, if known, "
                    "group.")
  table = table.fillna("").apply(lambda cells: cells.str.strip())
  table = table[(table != "").any(axis=1)]
  if (table.path == "").any():
    raise DataError(f"{path}, line {table.index[table.path == ''][0] + 2}: no path.\nExpected the name of a video.")
  place = storage.parent(path) if storage.is_remote(path) else os.path.dirname(path)
  join = storage.join if storage.is_remote(path) else os.path.join
  table["path"] = [p if storage.is_remote(p) else join(place, p) for p in table.path]
  return table


def groups(paths: list[str], videos: list[Video], by: str) -> dict[str, str]:
  """{video: its patient}: the cell in column `by` of a CSV file in `paths`, or what the pattern `by` finds in names.

  A pattern is looked for in the name of the file, without its suffix, then in those of the folders above it, the
  nearest first, then in the whole path; its first bracket counts, or all that it matches. Raises ConfigError where `by`
  is neither, DataError for a video without.
  """
  found: dict[str, str] = {}
  lists = {path: read_list(path) for path in paths if _is_table(path)}
  tables = [table for table in lists.values() if by.lower() in table]
  if lists and not tables and re.escape(by) == by:  # as a pattern it would find the same in every name
    path, table = next(iter(lists.items()))
    raise ConfigError(f"--group={by} is no column of {path}{did_you_mean(by, table.columns)}\nFound "
                      rf"{list(table.columns)}. Expected one of them, or a pattern such as 'p\d+'.")
  for table in tables:
    for video, group in zip(map(_named, table.path), table[by.lower()].str.normalize("NFC"), strict=True):
      if found.setdefault(str(video), group) != group:
        raise DataError(f"--group={by}: {video} stands there with {found[str(video)]!r} and {group!r}.\n"
                        "Expected one for each video: correct the list.")
  try:
    pattern = re.compile(by)
  except re.error as e:
    raise ConfigError(f"--group is {by!r}: {e}.\n"
                      r"Expected a column of a CSV file, or a pattern such as 'p\d+'.") from None
  for video in (str(v) for v in videos if not tables):
    parts = Path(video).parent.parts
    if match := next(filter(None, map(pattern.search, (Path(video).stem, *reversed(parts), video))), None):
      found[video] = match[1] if pattern.groups else match[0]
  missing = [str(v) for v in videos if not found.get(str(v))]
  if missing:
    raise DataError(f"--group={by} gives no group for {len(missing)} of {len(videos)} videos, such as {missing[0]}.\n"
                    r"Expected a column of a CSV file, or a pattern such as 'p\d+' found in every path.")
  return found


def _named(path: str) -> Video:
  return path if storage.is_remote(path) else Path(path)


def _is_table(path: str) -> bool:
  return path.lower().endswith(".csv")


def _expanded(path: str) -> list[str]:
  """What - or a pattern stands for; anything else, and a file whose name looks like a pattern, as it is."""
  if path == "-":
    return [line.strip() for line in sys.stdin if line.strip()]
  if storage.is_remote(path) or Path(path).exists() or not glob.has_magic(path):
    return [path]
  if not (found := sorted(glob.glob(path, recursive=True))):
    raise DataError(f"Nothing matches {path!r}.")
  return found


def _find_here(path: Path) -> list[Video]:
  """A file, or those below a folder that may be videos; a folder of frames is one."""
  if not path.exists():
    raise DataError(f"There is no file or folder {str(path)!r}.")
  inside = sorted(p for p in path.rglob("*") if p.is_file() and not _hidden(p.relative_to(path).parts))
  inside = [p.parent if p.suffix.lower() in readers.IMAGES else p for p in inside
            if p.suffix.lower() in readers.IMAGES or _may_be_video(p.name)]
  return [*dict.fromkeys(inside)] if path.is_dir() else [path]


def _find_remote(url: str) -> list[Video]:
  """A remote file, or those below a remote folder that may be videos."""
  try:
    if storage.about(url):
      return [url]
    found = storage.find(url)
  except OSError as e:
    raise DataError(f"There is no file or folder {url!r} ({storage.reason(e)}).") from None
  return [storage.join(url, name) for name in found
          if not _hidden(name.split("/")) and _may_be_video(name.rpartition("/")[2])]


def _hidden(parts: Iterable[str]) -> bool:
  """Whether a file, or a folder on the way to it, is hidden: none of a source either."""
  return any(part.startswith(".") for part in parts)


def _may_be_video(name: str) -> bool:
  return PurePosixPath(name).suffix.lower() not in NOT_VIDEO and name.upper() != "DICOMDIR"  # a list of DICOM files
