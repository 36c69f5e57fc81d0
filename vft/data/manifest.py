"""The list of all clips of a run, made once: what was found, its label, patient, split, state and sha256.

Made by make_manifest(config), saved beside the run, loaded again by everything that follows.
"""
import dataclasses
import functools
import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data import readers
from vft.data.sources import Source, open_source
from vft.data.splits import assign_splits, check_splits
from vft.errors import DataError, did_you_mean
from vft.tasks import Task

COLUMNS = ("row", "id", "video", "path", "start_s", "end_s", "group", "split", "status", "reason", "sha256",
           "duration_s")
NUMBERS = {"row": np.int64, "start_s": np.float64, "end_s": np.float64, "duration_s": np.float64}
SHOWN = 10  # lines of a list in a message


@dataclasses.dataclass(frozen=True)
class Manifest:
  """`table` has COLUMNS and one for each task; its index is the row number; a row is "ok" or "skipped" for a reason."""
  table: pd.DataFrame
  tasks: tuple[Task, ...]
  grouped_by: Literal["patient", "video"]
  source: Source
  warnings: tuple[str, ...] = ()

  @functools.cached_property
  def text(self) -> str:
    """The CSV file; floats as repr writes them, so that nothing is lost."""
    return self.table.to_csv(index=False, lineterminator="\n")

  @functools.cached_property
  def sha256(self) -> str:
    """Hex digest of the CSV file."""
    return hashlib.sha256(self.text.encode()).hexdigest()

  def save(self, path: str | Path) -> None:
    Path(path).write_text(self.text, encoding="utf-8", newline="\n")

  def rows(self, split: str) -> np.ndarray:
    """(N,) int64 row numbers of the usable clips of "train", "val" or "test"."""
    return self.table.row[(self.table.split == split) & (self.table.status == "ok")].to_numpy(np.int64)

  @functools.cached_property
  def _encoded(self) -> dict[str, np.ndarray]:
    return {t.name: tasks.encode(t, self.table[t.name], self.table.id) for t in self.tasks}

  def labels(self, rows: np.ndarray) -> dict[str, np.ndarray]:
    """{task: (N, ...)}, see tasks.encode."""
    return {name: labels[rows] for name, labels in self._encoded.items()}

  def groups(self, rows: np.ndarray) -> np.ndarray:
    """(N,) names of the patients, or of the videos where patients are unknown."""
    return self.table.group.iloc[rows].to_numpy(str)


def make_manifest(config: ConfigDict) -> Manifest:
  """Lists, probes, hashes and splits the videos of config.data.source.

  Raises DataError if too many videos are bad, a file is in two splits, or the splits cannot be used.
  """
  source, wanted = _open(config)
  table = source.rows()
  if table.empty:
    raise DataError(f"{config.data.source} has no videos; expected at least one per class in train, val and test.")
  wanted = _read_tasks(table, wanted, config.data.source)
  table["row"] = np.arange(len(table))
  grouped_by = "patient" if (table.group != "").any() else "video"
  warnings = _group_warnings(table)
  table["group"] = table.group.where(table.group != "", table.video)
  warnings += _probe_all(table, source, readers.options(config.data))
  warnings += _check_bad(table, config.data.max_bad_fraction)
  usable = (table.status == "ok").to_numpy()
  of_class = next((t for t in wanted if t.kind in ("single", "ordinal")), None)
  table["stratum"] = _strata(table, of_class or wanted[0])
  table.loc[usable, "split"] = assign_splits(table[usable], config.data.split, config.seed)
  _check_copies(table[usable])
  warnings += check_splits(table[usable] if of_class else table[usable].assign(stratum=""))
  clip_s = config.data.num_frames / config.data.fps
  short = int((table.end_s - table.start_s < clip_s - 0.5 / config.data.fps)[usable].sum())
  if short:
    warnings.append(f"{short} of {usable.sum()} clips are shorter than {clip_s:g} s; their last frame is repeated")
  made = _typed(table, wanted)
  return Manifest(made, _scaled(made, wanted), grouped_by, source, tuple(warnings))


def load(path: str | Path, config: ConfigDict) -> Manifest:
  """Reads a saved manifest; opens the source but no video. Raises DataError if it is not a manifest or was edited."""
  source, wanted = _open(config)
  try:
    table = _typed(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8"), wanted)
  except (OSError, ValueError, KeyError) as e:
    raise DataError(f"{path} is no manifest ({e}); expected the manifest.csv of a run, with columns "
                    f"{','.join([*COLUMNS, *(t.name for t in wanted)])}.") from None
  found = tuple(tasks.find_classes(t, table[t.name]) for t in wanted)
  for task in found:
    tasks.encode(task, table[task.name], [f"{path}, row {row}" for row in table.row])
  grouped_by = "video" if (table.group == table.video).all() else "patient"
  return Manifest(table, _scaled(table, found), grouped_by, source)


def _open(config: ConfigDict) -> tuple[Source, tuple[Task, ...]]:
  """The source, and the tasks with the classes that the config or the source declares."""
  wanted = tasks.make_tasks(config.tasks)
  source = open_source(config.data.source, config.data, tuple(t.column or t.name for t in wanted))
  declared = tuple(config.data.classes) or source.classes
  return source, tasks.make_tasks(config.tasks, declared)


def _read_tasks(table: pd.DataFrame, wanted: tuple[Task, ...], source: str) -> tuple[Task, ...]:
  """The tasks with their classes; `table` gets a column for each. Raises DataError for a row without any label."""
  known = np.zeros(len(table), bool)
  for task in wanted:
    column = task.column or task.name
    if column not in table:
      raise DataError(f"{source} has no column {column!r} for the task {task.name}{did_you_mean(column, table.columns)}"
                      f"\nFound {[c for c in table.columns if c not in (*COLUMNS, 'where')]}.")
  wanted = tuple(tasks.find_classes(t, table[t.column or t.name]) for t in wanted)
  where = table.get("where", table.id)
  for task in wanted:
    table[task.name] = table[task.column or task.name].astype(str)
    known |= tasks.known(task, tasks.encode(task, table[task.name], where))
    if task.kind != "regression" and len(task.classes) < (1 if task.kind == "multi" else 2):
      raise DataError(f"The task {task.name} of {source} has the classes {list(task.classes)}; expected at least two.")
  if not known.all():
    raise DataError(f"{(~known).sum()} of {len(known)} rows have no label, the first of them {where[~known].iloc[0]}."
                    "\nLeave them out, or fill them in.")
  return wanted


def _strata(table: pd.DataFrame, task: Task) -> pd.Series:
  """What the splits have equal shares of: the labels of the first task of one label; of a number its fifths."""
  if task.kind != "regression":
    return table[task.name]
  return pd.qcut(pd.to_numeric(table[task.name], errors="coerce"), 5, labels=False, duplicates="drop").astype(str)


def _scaled(table: pd.DataFrame, wanted: tuple[Task, ...]) -> tuple[Task, ...]:
  """Regressions with mean and deviation of the training rows."""
  train = table[(table.split == "train") & (table.status == "ok")]
  return tuple(tasks.with_scale(t, tasks.encode(t, train[t.name], train.id)) for t in wanted)


def _typed(table: pd.DataFrame, wanted: tuple[Task, ...]) -> pd.DataFrame:
  """The columns of a manifest in their order and number types."""
  table = table[[*COLUMNS[:6], *(t.name for t in wanted), *COLUMNS[6:]]]
  table = table.assign(**{c: table[c].replace("", "nan").astype(t) for c, t in NUMBERS.items()})
  if (table.row != np.arange(len(table))).any():
    raise ValueError("its rows are not numbered 0, 1, 2, ...")
  return table


def _group_warnings(table: pd.DataFrame) -> list[str]:
  missing = int((table.group == "").sum())
  if missing == len(table):
    return ["no group (patient) is known: each video counts as its own, so one patient may be in train and in test"]
  return [f"{missing} of {len(table)} rows have no group; each of their videos counts as a patient"] if missing else []


def _probe_all(table: pd.DataFrame, source: Source, reading: dict[str, Any]) -> list[str]:
  """Fills status, reason, sha256, duration_s, and end_s where the span goes to the end of the video. Warnings."""
  paths = list(dict.fromkeys(table.path))
  look = functools.partial(_probe_one, source=source, reading=reading)
  with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as pool:  # decoding releases the GIL
    found = dict(zip(paths, pool.map(look, paths), strict=True))
  table["reason"] = [found[p][0] for p in table.path]
  table["sha256"] = [found[p][1] for p in table.path]
  table["duration_s"] = [found[p][2] for p in table.path]
  late = table.start_s >= table.duration_s
  table.loc[late, "reason"] = [f"starts after the end: {start:g} s of {length:g} s" for start, length in
                               zip(table.start_s[late], table.duration_s[late], strict=True)]
  table["end_s"] = np.fmin(table.end_s, table.duration_s)
  table["status"] = np.where(table.reason == "", "ok", "skipped")
  burned_in = sum(f[3] for f in found.values())
  return [f"{burned_in} of {len(paths)} DICOM files say that text is burned into their pixels: cover it by "
          "config.data.mask, or cut it off by config.data.crop='sector'"] if burned_in else []


def _probe_one(path: str, *, source: Source, reading: dict[str, Any]) -> tuple[str, str, float, bool]:
  """(reason or "", sha256, seconds, whether a DICOM header says that text is burned in)."""
  digest = ""
  try:
    content = source.read(path)
    digest = _sha256(content)
    info = readers.probe(content, **reading)
    return "", digest, round(info.duration_s, 6), info.burned_in
  except DataError as e:
    return " ".join(str(e).split()), digest, float("nan"), False


def _sha256(content: readers.Content) -> str:
  if isinstance(content, bytes):
    return hashlib.sha256(content).hexdigest()
  if isinstance(content, readers.FrameFolder) or os.path.isdir(content):
    files = readers.frame_files(content.path if isinstance(content, readers.FrameFolder) else content)
    return hashlib.sha256("".join(_sha256(file) for file in files).encode()).hexdigest()
  if not os.path.isfile(content) or not os.access(content, os.R_OK):
    return ""  # the reader says what is wrong
  with open(content, "rb") as file:
    return hashlib.file_digest(file, "sha256").hexdigest()


def _check_bad(table: pd.DataFrame, max_bad_fraction: float) -> list[str]:
  """A warning with the counts per reason. Raises DataError above `max_bad_fraction` or if nothing is left."""
  videos = table.drop_duplicates("path")
  bad = videos[videos.status == "skipped"]
  if bad.empty:
    return []
  counts = Counter(reason.partition(":")[0] for reason in bad.reason).most_common()
  share = f"{len(bad)} of {len(videos)} videos cannot be used ({len(bad) / len(videos):.1%})"
  counted = "; ".join(f"{n} x {reason}" for reason, n in counts)
  if len(bad) > max_bad_fraction * len(videos) or len(bad) == len(videos):
    raise DataError(f"{share}, more than data.max_bad_fraction, {max_bad_fraction:.1%}: {counted}.\n"
                    + _some([f"{path!r}: {reason}" for path, reason in zip(bad.path, bad.reason, strict=True)]) +
                    "\nExpected videos that can be decoded: repair or remove these, or leave them out with "
                    f"--config.data.max_bad_fraction={len(bad) / len(videos) + 0.01:.2f}.")
  return [f"{share}: {counted}"]


def _check_copies(table: pd.DataFrame) -> None:
  """Raises DataError if the same bytes are in two splits."""
  pairs = []
  for _, copies in table[table.groupby("sha256")["split"].transform("nunique") > 1].groupby("sha256", sort=False):
    first = copies.iloc[0]
    pairs += [f"{first.path!r} in {first.split} = {c.path!r} in {c.split}"
              for c in copies.itertuples() if c.split != first.split]
  if pairs:
    raise DataError(f"The same video stands in two splits, {len(pairs)} pairs with equal bytes:\n" + _some(pairs) +
                    "\nExpected each video in one split: remove the copies, or give both the same group.")


def _some(lines: Sequence[str]) -> str:
  more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
  return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
