"""Which clips of a manifest's table are trained on, validated on and tested on; what becomes of copies."""
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data.splits import SPLITS, assign_splits, check_splits, choose_shots, make_folds
from vft.errors import DataError, collected, some
from vft.tasks import Task


def into_splits(table: pd.DataFrame, wanted: tuple[Task, ...], config: ConfigDict,
                 problems: list[DataError] | None = None) -> list[str]:
  """Fills split, and status and reason of the training clips that config.data.shots leaves out. Warnings."""
  usable, of_class = table.status == "ok", tasks.first_with_classes(wanted)
  table["stratum"] = _strata(table, of_class or wanted[0])
  table.loc[usable, "split"] = assign_splits(table[usable], config.data.split, config.seed)
  warnings = []
  with collected(problems):
    warnings += _settle_copies(table, config.data.on_duplicate)
  usable = table.status == "ok"
  with collected(problems):
    warnings += check_splits(table[usable] if of_class else table[usable].assign(stratum=""))
  if config.data.shots:
    assert of_class is not None, "config.check asks for a task with classes"
    train = table[usable & (table.split == "train")]
    chosen = choose_shots(train[of_class.name].to_numpy(str), train.group.to_numpy(str), config.data.shots, config.seed)
    table.loc[train.index[~chosen], ["status", "reason"]] = "unused", f"not in data.shots={config.data.shots} a class"
  with collected(problems):
    _check_labels(table[table.status == "ok"], wanted)
  return warnings


def _check_labels(table: pd.DataFrame, wanted: tuple[Task, ...]) -> None:
  """Raises DataError where no clip of a split has a label of some task: it could not be learned, or not measured."""
  for task in wanted:
    known = tasks.known(task, tasks.encode(task, table[task.name], table.id))
    for split in SPLITS:
      here = (table.split == split).to_numpy()
      if here.any() and not known[here].any():
        raise DataError(f"None of the {here.sum()} clips in {split} has a label of the task {task.name}.\nExpected "
                        "some in train, val and test: fill in its column, divide the clips otherwise, or take the task "
                        "out of config.tasks.")


def into_folds(table: pd.DataFrame, wanted: tuple[Task, ...], config: ConfigDict,
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
  with collected(problems):
    return _settle_copies(table, config.data.on_duplicate)
  return []


def _strata(table: pd.DataFrame, task: Task) -> pd.Series:
  """What the splits have equal shares of: the labels of the first task of one label; of a number its fifths."""
  if task.kind != "regression":
    return table[task.name]
  return pd.qcut(pd.to_numeric(table[task.name], errors="coerce"), 5, labels=False, duplicates="drop").astype(str)


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
                    some([" = ".join(f"{c.path!r} in {c.split}" for c in sorted(p)) for p in pairs]) +
                    "\nExpected each video in one split: remove the copies, give both the same group, or type "
                    "--config.data.on_duplicate=drop to leave out those that are not in test.")
  for kept, copy in pairs:
    table.loc[copy.Index, ["status", "reason"]] = "unused", f"copy of {kept.path!r} in {kept.split}"
  return [f"{len(pairs)} clips are left out: copies of videos in another split"] if pairs else []
