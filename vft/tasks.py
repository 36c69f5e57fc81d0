"""What a run predicts: tasks by name, each of one kind, and what a cell of the manifest means to each kind."""
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from vft.errors import DataError, did_you_mean

KINDS = ("single", "multi", "ordinal", "regression")
NONE = "-"  # a cell of a multi-label task whose clip has none of the labels; an empty cell is not known


class Task(NamedTuple):
  """One thing to predict. Hashable.

  kind: single: one of `classes`; multi: any of `classes`, joined by "|" in a cell; ordinal: grades, `classes` from low
    to high; regression: a number.
  classes: () for regression.
  column: of the source's table; "" = its name.
  weight: of its loss in the sum over tasks.
  mean, std: of the training targets of a regression; the head predicts (y - mean) / std and so starts at the mean.
  """
  name: str = "label"
  kind: str = "single"
  classes: tuple[str, ...] = ()
  column: str = ""
  weight: float = 1.0
  mean: float = 0.0
  std: float = 1.0

  @property
  def outputs(self) -> int:
    """Numbers that the head gives."""
    return {"ordinal": len(self.classes) - 1, "regression": 1}.get(self.kind, len(self.classes))


def make_tasks(config: Mapping[str, Any], classes: tuple[str, ...] = ()) -> tuple[Task, ...]:
  """The tasks of config.tasks, without classes that are to be found in the data; {} is one task "label" of one label.

  `classes` are those of config.data.classes, for a lone task that names none itself.

  >>> make_tasks({"ef": {"kind": "regression", "column": "EF"}})[0].outputs
  1
  """
  named = dict(config) or {"label": {}}
  tasks = [Task(name, **fields)._replace(classes=tuple(fields.get("classes", ()))) for name, fields in named.items()]
  alone = len(tasks) == 1 and tasks[0].kind != "regression"
  return (tasks[0]._replace(classes=tasks[0].classes or classes),) if alone else tuple(tasks)


def find_classes(task: Task, cells: Iterable[str]) -> Task:
  """The task with the classes that its column names, sorted, where it has none. Numbers sort as numbers."""
  if task.classes or task.kind == "regression":
    return task
  names = {name for cell in cells for name in (cell.split("|") if task.kind == "multi" else [cell])} - {"", NONE}
  return task._replace(classes=tuple(sorted(names, key=_by_number)))


def first_with_classes(tasks: Iterable[Task]) -> Task | None:
  """The first task of one label or grade a clip: what splits, few-shot subsets and the balanced sampler go by."""
  return next((t for t in tasks if t.kind in ("single", "ordinal")), None)


def _by_number(name: str) -> tuple[float, str]:
  try:
    return float(name), name
  except ValueError:
    return float("inf"), name


def encode(task: Task, cells: Iterable[str], where: Iterable[str]) -> np.ndarray:
  """Cells (n,) -> (n,) int32, -1 missing; multi: (n, L) int8 of 0, 1 or -1; regression: (n,) float32 or nan.

  `where` names each cell for messages, such as "row 17". Raises DataError for a label or number that is none.

  >>> encode(Task(classes=("normal", "abnormal")), ["abnormal", "", "normal"], ["a", "b", "c"])
  array([ 1, -1,  0], dtype=int32)
  """
  cells = list(cells)
  if task.kind == "regression":
    return np.array([_number(task, cell, place) for cell, place in zip(cells, where, strict=True)], np.float32)
  number = {name: i for i, name in enumerate(task.classes)}

  def find(name: str, place: str) -> int:
    if name not in number:
      raise DataError(f"{place}: {task.name} {name!r} unknown{did_you_mean(name, task.classes)}\n"
                      f"Expected one of {list(task.classes[:30])}.")
    return number[name]
  if task.kind != "multi":
    return np.array([find(cell, place) if cell else -1 for cell, place in zip(cells, where, strict=True)], np.int32)
  out = np.zeros((len(cells), len(task.classes)), np.int8)
  for row, (cell, place) in enumerate(zip(cells, where, strict=True)):
    if not cell:
      out[row] = -1
    elif cell != NONE:
      out[row, [find(name, place) for name in cell.split("|")]] = 1
  return out


def _number(task: Task, cell: str, place: str) -> float:
  if not cell or cell.lower() == "nan":
    return float("nan")
  try:
    value = float(cell)
  except ValueError:
    value = float("inf")
  if not np.isfinite(value):
    raise DataError(f"{place}: {task.name} is {cell!r}; expected a number, or nothing where it is not known.")
  return value


def known(task: Task, labels: np.ndarray) -> np.ndarray:
  """Encoded labels (n, ...) -> (n,) bool: there is something to learn from."""
  there: np.ndarray = np.asarray(np.isfinite(labels) if task.kind == "regression" else labels >= 0)
  return np.asarray(there.any(axis=1)) if labels.ndim > 1 else there


def with_scale(task: Task, labels: np.ndarray) -> Task:
  """A regression with mean and deviation of its training labels (n,), 1 where they do not vary."""
  if task.kind != "regression":
    return task
  values = labels[known(task, labels)].astype(np.float64)
  return task._replace(mean=float(values.mean()), std=float(values.std()) or 1.0) if len(values) else task


def decide(task: Task, outputs: np.ndarray, thresholds: Any = None) -> list[str]:
  """Outputs (n, K) of `objective.values` -> (n,) cells: class, median grade, labels of half or more, or number.

  With thresholds of `calibration.thresholds`: the second of two classes, or a label, from its threshold on.
  """
  if task.kind == "regression":
    return [f"{value:.6g}" for value in outputs[:, 0]]
  if task.kind == "multi":
    return ["|".join(name for name, p in zip(task.classes, row, strict=True) if p) or NONE
            for row in outputs >= (0.5 if thresholds is None else np.asarray(thresholds))]
  if thresholds is not None:
    return [task.classes[int(p >= thresholds)] for p in outputs[:, 1]]
  return [task.classes[k] for k in (median(outputs) if task.kind == "ordinal" else outputs.argmax(axis=1))]


def median(probs: np.ndarray) -> np.ndarray:
  """Probabilities (n, K) -> grades (n,): how many k have P(y > k) > 1/2 (arXiv:1901.07884, sec. 3.3); least MAE."""
  above = 1 - np.cumsum(probs, axis=1)[:, :-1]
  return (above > 0.5 + 1e-9).sum(1)  # one half in floating point: (.1 + .4) and 1 - .5 differ in the last digit


def columns(task: Task, outputs: np.ndarray, alone: bool) -> dict[str, list[str] | np.ndarray]:
  """Columns of a table of predictions: predicted, and p_<class>; after the task's name where there are several."""
  prefix = "" if alone else f"{task.name}_"
  return {f"{prefix}predicted": decide(task, outputs),
          **{f"{prefix}p_{c}": outputs[:, k] for k, c in enumerate(task.classes)}}


def to_json(tasks: Sequence[Task]) -> list[dict[str, Any]]:
  """Tasks as result.json holds them."""
  return [{**task._asdict(), "classes": list(task.classes)} for task in tasks]


def from_json(saved: Sequence[Mapping[str, Any]]) -> tuple[Task, ...]:
  """The inverse of `to_json`."""
  return tuple(Task(**{**task, "classes": tuple(task["classes"])}) for task in saved)
