"""The list of all clips of a run, made once: what was found, its label, patient, split, state and sha256.

Made by make_manifest(config), saved beside the run, loaded again by everything that follows.
"""
import contextlib
import dataclasses
import functools
import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data import inspection, readers
from vft.data.sources import Source, open_source
from vft.data.splits import assign_splits, check_splits, choose_shots, make_folds
from vft.errors import DataError, did_you_mean
from vft.tasks import Task

COLUMNS = ("row", "id", "video", "path", "start_s", "end_s", "group", "split", "status", "reason", "sha256",
           "duration_s")
NUMBERS = {"row": np.int64, "start_s": np.float64, "end_s": np.float64, "duration_s": np.float64}
Inspect = Callable[[Source, list[str], dict[str, Any]], dict[str, inspection.Inspection]]  # as inspection.inspect_all
SHOWN = 10  # lines of a list in a message


@dataclasses.dataclass(frozen=True)
class Manifest:
  """`table` has COLUMNS and one for each task; its index is the row number.

  The status of a row is "ok", "skipped" (cannot be used) or "unused" (is not wanted), with a reason. Its split is
  train, val or test; of a cross-validation as a whole the fold that tests on it: fold_1, fold_2, ...
  """
  table: pd.DataFrame
  tasks: tuple[Task, ...]
  grouped_by: Literal["patient", "video"]
  source: Source
  warnings: tuple[str, ...] = ()
  unit: Literal["clip", "video", "patient"] = "clip"  # what gets an answer, see config.sequence

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

  @property
  def shown(self) -> "Manifest":
    """The manifest of the clips that are decoded: this one, but for data.sequences."""
    return self

  @property
  def level(self) -> str:
    """What a row is to the figures; of moments too, their videos."""
    return "patient" if self.unit == "patient" else "video"

  def clip_rows(self, split: str) -> np.ndarray:
    """(N,) int64 rows of `shown` of the clips of a split."""
    return self.rows(split)

  def count(self, split: str) -> int:
    """What an epoch of a split has to show."""
    return len(self.rows(split))

  def groups(self, rows: np.ndarray) -> np.ndarray:
    """(N,) names of the patients, or of the videos where patients are unknown."""
    return self.table.group.iloc[rows].to_numpy(str)


def make_manifest(config: ConfigDict, *, inspect: Inspect = inspection.inspect_all,
                  problems: list[DataError] | None = None) -> Manifest:
  """Lists, probes, hashes and splits the videos of config.data.source.

  Raises DataError if too many videos are bad, a file is in two splits, or the splits cannot be used; with a list
  `problems` such errors are added to it instead, and the table comes with them. `inspect` looks at the files.
  """
  source, wanted = _open(config)
  table = source.rows()
  if table.empty:
    raise DataError(f"{config.data.source} has no videos; expected at least one per class in train, val and test.")
  wanted = _read_tasks(table, wanted, config.data.source, problems)
  table["row"] = np.arange(len(table))
  if not config.data.official:
    table["split"] = ""
  grouped_by = "patient" if (table.group != "").any() else "video"
  warnings = _layout_warnings(source, config.data.source) + _group_warnings(table)
  table["group"] = table.group.where(table.group != "", table.video)
  warnings += _probe_all(table, source, readers.options(config.data), inspect)
  with _collected(problems):
    warnings += _check_bad(table, config.data.max_bad_fraction)
  usable = (table.status == "ok").to_numpy()
  if usable.any():
    with _collected(problems):
      divide = _into_folds if config.data.folds else _into_splits
      warnings += divide(table, wanted, config, problems)
  clip_s = config.data.num_frames / config.data.fps
  short = int((table.end_s - table.start_s < clip_s - 0.5 / config.data.fps)[usable].sum())
  if short:
    warnings.append(f"{short} of {usable.sum()} clips are shorter than {clip_s:g} s; their last frame is repeated")
  made = _typed(table, wanted)
  return Manifest(made, _scaled(made, wanted), grouped_by, source, tuple(warnings))


def of_fold(whole: Manifest, number: int, config: ConfigDict) -> Manifest:
  """Fold `number` from 1 on of a manifest made with config.data.folds: it is tested on, val is cut out of the rest.

  Raises DataError if that split cannot be used.
  """
  table, usable = whole.table.copy(), whole.table.status == "ok"
  table.loc[usable, "split"] = np.where(table.split[usable] == f"fold_{number}", "test", "train")
  warnings = _into_splits(table, whole.tasks, config)
  made = _typed(table, whole.tasks)
  return Manifest(made, _scaled(made, whole.tasks), whole.grouped_by, whole.source, tuple(warnings))


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


def _read_tasks(table: pd.DataFrame, wanted: tuple[Task, ...], source: str,
                problems: list[DataError] | None = None) -> tuple[Task, ...]:
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
    with _collected(problems):
      if task.kind != "regression" and len(task.classes) < (1 if task.kind == "multi" else 2):
        raise DataError(f"The task {task.name} of {source} has the classes {list(task.classes)}; expected at least "
                        "two.")
  if not known.all():
    raise DataError(f"{(~known).sum()} of {len(known)} rows have no label, the first of them {where[~known].iloc[0]}."
                    "\nLeave them out, or fill them in.")
  return wanted


def _into_splits(table: pd.DataFrame, wanted: tuple[Task, ...], config: ConfigDict,
                 problems: list[DataError] | None = None) -> list[str]:
  """Fills split, and status and reason of the training clips that config.data.shots leaves out. Warnings."""
  usable, of_class = table.status == "ok", tasks.first_with_classes(wanted)
  table["stratum"] = _strata(table, of_class or wanted[0])
  table.loc[usable, "split"] = assign_splits(table[usable], config.data.split, config.seed)
  warnings = []
  with _collected(problems):
    warnings += _settle_copies(table, config.data.on_duplicate)
  usable = table.status == "ok"
  with _collected(problems):
    warnings += check_splits(table[usable] if of_class else table[usable].assign(stratum=""))
  if config.data.shots:
    assert of_class is not None, "config.check asks for a task with classes"
    train = table[usable & (table.split == "train")]
    chosen = choose_shots(train[of_class.name].to_numpy(str), train.group.to_numpy(str), config.data.shots, config.seed)
    table.loc[train.index[~chosen], ["status", "reason"]] = "unused", f"not in data.shots={config.data.shots} a class"
  return warnings


def _into_folds(table: pd.DataFrame, wanted: tuple[Task, ...], config: ConfigDict,
                problems: list[DataError] | None = None) -> list[str]:
  """Fills split with the fold that tests on a row. Warnings about copies; each fold has its own."""
  usable, folds = table.status == "ok", config.data.folds
  if (table.split != "").any():
    raise DataError(f"{config.data.source} brings its own splits, {sorted(set(table.split) - {''})}, and config.data."
                    f"folds={folds} would mix them.\nType --config.data.official=False to pool all its clips and divide"
                    " them anew, by group; figures then cannot be compared with those of the official test split.\nOr "
                    "leave out config.data.folds.")
  if table.group[usable].nunique() < folds:
    raise DataError(f"There are {table.group[usable].nunique()} patients (groups) for config.data.folds={folds}; "
                    "expected at least one a fold: lower it, or add videos of more patients.")
  strata = _strata(table, tasks.first_with_classes(wanted) or wanted[0])[usable].to_numpy(str)
  number = make_folds(strata, table.group[usable].to_numpy(str), folds, config.seed)
  table.loc[usable, "split"] = [f"fold_{i + 1}" for i in number]
  with _collected(problems):
    return _settle_copies(table, config.data.on_duplicate)
  return []


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


def _layout_warnings(source: Source, spec: str) -> list[str]:
  if source.CHECKED:
    return []
  return [f"layout unconfirmed: {spec.partition(':')[0]} was written without a public loader or page of that data set "
          "in sight; compare manifest.csv with your files: labels, splits, patients"]


def _group_warnings(table: pd.DataFrame) -> list[str]:
  missing = int((table.group == "").sum())
  if missing == len(table):
    return ["no group (patient) is known: each video counts as its own, so one patient may be in train and in test"]
  return [f"{missing} of {len(table)} rows have no group; each of their videos counts as a patient"] if missing else []


def _probe_all(table: pd.DataFrame, source: Source, reading: dict[str, Any], inspect: Inspect) -> list[str]:
  """Fills status, reason, sha256, duration_s, and end_s where the span goes to the end of the video. Warnings."""
  paths = list(dict.fromkeys(table.path))
  found = inspect(source, paths, reading)
  for column in ("reason", "sha256", "duration_s"):
    table[column] = [getattr(found[p], column) for p in table.path]
  late = table.start_s >= table.duration_s
  table.loc[late, "reason"] = [f"starts after the end: {start:g} s of {length:g} s" for start, length in
                               zip(table.start_s[late], table.duration_s[late], strict=True)]
  table["end_s"] = np.fmin(table.end_s, table.duration_s)
  table["status"] = np.where(table.reason == "", "ok", "skipped")
  burned_in = sum(f.burned_in for f in found.values())
  return [f"{burned_in} of {len(paths)} DICOM files say that text is burned into their pixels: cover it by "
          "config.data.mask, or cut it off by config.data.crop='sector'"] if burned_in else []


def _check_bad(table: pd.DataFrame, max_bad_fraction: float) -> list[str]:
  """A warning with the counts per reason. Raises DataError above `max_bad_fraction` or if nothing is left."""
  videos = table.drop_duplicates("path")
  bad = videos[videos.status == "skipped"]
  if bad.empty:
    return []
  counts = Counter(cause(reason) for reason in bad.reason).most_common()
  share = f"{len(bad)} of {len(videos)} videos cannot be used ({len(bad) / len(videos):.1%})"
  counted = "; ".join(f"{n} x {reason}" for reason, n in counts)
  if len(bad) > max_bad_fraction * len(videos) or len(bad) == len(videos):
    raise DataError(f"{share}, more than data.max_bad_fraction, {max_bad_fraction:.1%}: {counted}.\n"
                    + _some([f"{path!r}: {reason}" for path, reason in zip(bad.path, bad.reason, strict=True)]) +
                    "\nExpected videos that can be decoded: repair or remove these, or leave them out with "
                    f"--config.data.max_bad_fraction={len(bad) / len(videos) + 0.01:.2f}.")
  return [f"{share}: {counted}"]


def cause(reason: str) -> str:
  """A reason without its details."""
  return reason.partition(":")[0].partition(" (")[0]


def _settle_copies(table: pd.DataFrame, on_duplicate: str) -> list[str]:
  """What becomes of videos whose bytes stand in two splits, by config.data.on_duplicate. Warnings.

  "drop" keeps the copies in test, so that figures on it stay comparable, and takes them out of train and val; of val
  and train it keeps those in val, of folds those in the first. Raises DataError listing the pairs where it is "error".
  """
  usable = table[table.status == "ok"]
  pairs = []
  for _, copies in usable[usable.groupby("sha256")["split"].transform("nunique") > 1].groupby("sha256", sort=False):
    keeps = min(copies.split, key=lambda s: ({"test": 0, "val": 1, "train": 2}.get(s, 3), s))
    kept = next(c for c in copies.itertuples() if c.split == keeps)
    pairs += [(kept, c) for c in copies.itertuples() if c.split != keeps]
  if pairs and on_duplicate == "error":
    raise DataError(f"The same video stands in two splits, {len(pairs)} pairs with equal bytes:\n" +
                    _some([" = ".join(f"{c.path!r} in {c.split}" for c in sorted(p)) for p in pairs]) +
                    "\nExpected each video in one split: remove the copies, give both the same group, or type "
                    "--config.data.on_duplicate=drop to leave out those that are not in test.")
  for kept, copy in pairs:
    table.loc[copy.Index, ["status", "reason"]] = "unused", f"copy of {kept.path!r} in {kept.split}"
  return [f"{len(pairs)} clips are left out: copies of videos in another split"] if pairs else []


@contextlib.contextmanager
def _collected(problems: list[DataError] | None) -> Iterator[None]:
  """DataErrors go into `problems`, or on their way where there is no such list."""
  try:
    yield
  except DataError as e:
    if problems is None:
      raise
    problems.append(e)


def _some(lines: Sequence[str]) -> str:
  more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
  return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
