"""The list of all clips of a run, made once: what was found, its label, patient, split, state and sha256.

Made by make_manifest(config), saved beside the run, loaded again by everything that follows.
"""
import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data import dividing, inspection, probing, readers
from vft.data.sampling import Sampler
from vft.data.sources import Source, open_source
from vft.errors import ConfigError, DataError, collected, did_you_mean
from vft.tasks import Task

COLUMNS = ("row", "id", "video", "path", "start_s", "end_s", "group", "split", "status", "reason", "sha256",
           "duration_s")
NUMBERS = {"row": np.int64, "start_s": np.float64, "end_s": np.float64, "duration_s": np.float64}


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


def make_manifest(config: ConfigDict, *, inspect: probing.Inspect = inspection.inspect_all,
                  problems: list[DataError] | None = None) -> Manifest:
  """Lists, probes, hashes and splits the videos of config.data.source.

  Raises DataError if too many videos are bad, a file is in two splits, or the splits cannot be used; with a list
  `problems` such errors are added to it instead, and the table comes with them. `inspect` looks at the files.

  >>> manifest = make_manifest(config)
  >>> manifest.grouped_by, manifest.tasks[0].classes, len(manifest.rows("train"))
  ('patient', ('fast', 'slow'), 16)
  """
  source, declared = _open(config)
  table = source.rows()
  if table.empty:
    raise DataError(f"{config.data.source} has no videos; expected at least one per class in train, val and test.")
  wanted = _read_tasks(table, declared, config.data.source, problems)
  table["row"] = np.arange(len(table))
  if not config.data.official:
    table["split"] = ""
  warnings = probing.layout_warnings(source, config.data.source) + probing.group_warnings(table)
  warnings += probing.class_warnings([t for t, told in zip(wanted, declared, strict=True) if not told.classes])
  table["group"] = table.group.where(table.group != "", table.video)
  warnings += probing.probe_all(table, source, readers.options(config.data), inspect)
  with collected(problems):
    warnings += probing.check_bad(table, config.data.max_bad_fraction)
  usable = (table.status == "ok").to_numpy()
  if usable.any():
    with collected(problems):
      divide = dividing.into_folds if config.data.folds else dividing.into_splits
      warnings += divide(table, wanted, config, problems)
  sampler = Sampler.make(config.data)
  clip_s = sampler.num_frames / sampler.fps
  short = int((table.end_s - table.start_s < clip_s - 0.5 / sampler.fps)[usable].sum())
  if short and not sampler.uniform:
    warnings.append(f"{short} of {usable.sum()} clips are shorter than {clip_s:g} s; their last frame is repeated")
  made = _typed(table, wanted)
  return Manifest(made, _scaled(made, wanted), _grouped_by(made), source, tuple(warnings))


def make_test(config: ConfigDict, wanted: tuple[Task, ...], by: tuple[str, ...] = (), *,
              inspect: probing.Inspect = inspection.inspect_all) -> tuple[Manifest, pd.DataFrame]:
  """All usable clips of config.data.source as a test, for tasks whose classes are known; and its columns `by`.

  Raises DataError for a label that is none of the classes, a missing column, or too many bad videos.
  """
  source = open_source(config.data.source, config.data, (*(t.column or t.name for t in wanted), *by))
  table = source.rows()
  if table.empty:
    raise DataError(f"{config.data.source} has no videos; expected at least one.")
  for column in by:
    if column not in table:
      raise DataError(f"{config.data.source} has no column {column!r}{did_you_mean(column, table.columns)}")
  asked = table[list(by)].astype(str)  # as the source has them: some have names that the manifest uses, too
  _read_tasks(table, wanted, config.data.source)
  table["row"], table["split"] = np.arange(len(table)), ""
  table["group"] = table.group.where(table.group != "", table.video)
  warnings = probing.layout_warnings(source, config.data.source) + probing.group_warnings(table)
  warnings += probing.probe_all(table, source, readers.options(config.data), inspect)
  warnings += probing.check_bad(table, config.data.max_bad_fraction)
  table.loc[table.status == "ok", "split"] = "test"
  made = _typed(table, wanted)
  return Manifest(made, wanted, _grouped_by(made), source, tuple(warnings)), asked


def of_fold(whole: Manifest, number: int, config: ConfigDict) -> Manifest:
  """Fold `number` from 1 on of a manifest made with config.data.folds: it is tested on, val is cut out of the rest.

  Raises DataError if that split cannot be used.
  """
  table, usable = whole.table.copy(), whole.table.status == "ok"
  table.loc[usable, "split"] = np.where(table.split[usable] == f"fold_{number}", "test", "train")
  warnings = dividing.into_splits(table, whole.tasks, config)
  made = _typed(table, whole.tasks)
  return Manifest(made, _scaled(made, whole.tasks), whole.grouped_by, whole.source, tuple(warnings))


def load(path: str | Path, config: ConfigDict) -> Manifest:
  """Reads a saved manifest; opens the source but no video. Raises DataError if it is not a manifest or was edited."""
  source, wanted = _open(config)
  table = read_table(path, wanted)
  found = tuple(tasks.find_classes(t, table[t.name]) for t in wanted)
  for task in found:
    tasks.encode(task, table[task.name], [f"{path}, row {row}" for row in table.row])
  return Manifest(table, _scaled(table, found), _grouped_by(table), source)


def read_table(path: str | Path, wanted: tuple[Task, ...]) -> pd.DataFrame:
  """The table of a saved manifest, without its source. Raises DataError if it is not one."""
  try:
    return _typed(pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8"), wanted)
  except (OSError, ValueError, KeyError) as e:
    raise DataError(f"{path} is no manifest ({e}); expected the manifest.csv of a run, with columns "
                    f"{','.join([*COLUMNS, *(t.name for t in wanted)])}.") from None


def _grouped_by(table: pd.DataFrame) -> Literal["patient", "video"]:
  """By what the table tells alone, so that a saved one says the same."""
  return "video" if (table.group == table.video).all() else "patient"


def _open(config: ConfigDict) -> tuple[Source, tuple[Task, ...]]:
  """The source, and the tasks with the classes that the config or the source declares."""
  wanted = tasks.make_tasks(config.tasks)
  source = open_source(config.data.source, config.data, tuple(t.column or t.name for t in wanted))
  declared = tuple(config.data.classes) or source.classes
  return source, tasks.make_tasks(config.tasks, declared)


def _read_tasks(table: pd.DataFrame, wanted: tuple[Task, ...], source: str,
                problems: list[DataError] | None = None) -> tuple[Task, ...]:
  """The tasks with their classes; `table` gets a column for each. Raises DataError for a row without any label.

  Raises ConfigError for a name that a manifest has already.
  """
  known = np.zeros(len(table), bool)
  for task in wanted:
    column = task.column or task.name
    if task.name in COLUMNS:
      raise ConfigError(f"config.tasks.{task.name} is called as a column of every manifest: {', '.join(COLUMNS)}.\n"
                        f"Give the task another name: c.tasks = dict(label=dict(column={column!r}, ...)).")
    if column not in table:
      raise DataError(f"{source} has no column {column!r} for the task {task.name}{did_you_mean(column, table.columns)}"
                      f"\nFound {[c for c in table.columns if c not in (*COLUMNS, 'where')]}.")
  cells = {t.name: table[t.column or t.name].astype(str) for t in wanted}  # all before one is named as another's column
  for task in wanted:
    several = task.kind == "multi"
    table[task.name] = cells[task.name].str.replace(r"\s*\|\s*", "|", regex=True) if several else cells[task.name]
  wanted = tuple(tasks.find_classes(t, table[t.name]) for t in wanted)
  where = table.get("where", table.id)
  for task in wanted:
    known |= tasks.known(task, tasks.encode(task, table[task.name], where))
    with collected(problems):
      if task.kind != "regression" and len(task.classes) < (1 if task.kind == "multi" else 2):
        raise DataError(f"The task {task.name} of {source} has the classes {list(task.classes)}; expected at least "
                        "two.")
  if not known.all():
    raise DataError(f"{(~known).sum()} of {len(known)} rows have no label, the first of them {where[~known].iloc[0]}."
                    "\nLeave them out, or fill them in.")
  return wanted


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
