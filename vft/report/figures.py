"""The figures of each task of a run: which plots and tables there are, by the task's kind."""
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from markupsafe import Markup

from vft import evaluate, metrics, tasks
from vft.report import numbers, plots
from vft.report.folder import Folder

SHARES = ("precision", "recall", "specificity", "f1", "auroc")  # of the table of classes
CELLS = 20  # classes whose confusions are shown as a table
PAIRS = 20  # most frequent confusions, where there are more
VIDEOS = 6  # timelines


@dataclass(frozen=True)
class TaskPart:
  """What the page shows of one task. `plots`: (heading, figure, what to see)."""
  name: str
  kind: str
  level: str
  plots: list[tuple[str, Markup, str]]
  wide: list[tuple[str, Markup, str]] = field(default_factory=list)
  classes: list[tuple[str, int | None, list[str]]] = field(default_factory=list)  # name, cases, SHARES
  confusion: dict[str, Any] | None = None
  pairs: list[tuple[str, str, int, float]] = field(default_factory=list)  # true, predicted, cases, share of the true


def of_task(run: Folder, task: tasks.Task, number: int) -> TaskPart:
  """`number` makes the ids of the figures."""
  levels = evaluate.levels(run.test, run.manifest, task)
  level = list(levels)[-1]
  outputs, labels, _ = levels[level]
  y, out = metrics.present(task.kind, labels, outputs)
  name = f"t{number}"
  if not len(y):
    return TaskPart(task.name, task.kind, level, [])
  if task.kind == "regression":
    return TaskPart(task.name, task.kind, level, _of_numbers(name, y, out[:, 0], level))
  after = None
  if run.calibrated:
    after = metrics.present(task.kind, labels, evaluate.levels(run.calibrated, run.manifest, task)[level][0])[1]
  matrix = run.result.get("confusion", {}).get("test", {}).get(level, {}).get(task.name)
  one = "moment" if run.manifest.unit == "video" else level
  return TaskPart(task.name, task.kind, one, _of_classes(name, task, y, out, after, one),
                  _timelines(run, task, name), _class_table(run, task, y, level), **_confusion(task, matrix))


def _of_numbers(name: str, y: np.ndarray, said: np.ndarray, level: str) -> list[tuple[str, Markup, str]]:
  y, said = y.astype(float), said.astype(float)
  return [("Predicted and true", plots.agreement(f"{name}-xy", y, said), f"One point per {level}."),
          ("Bland-Altman", plots.bland_altman(f"{name}-ba", y, said),
           "Dashed: the limits within which 95 % of the differences are expected.")]


def _of_classes(name: str, task: tasks.Task, y: np.ndarray, out: np.ndarray, after: np.ndarray | None,
                level: str) -> list[tuple[str, Markup, str]]:
  found, scores = [], _scores(task, y, out)
  if scores:
    more = "" if len(scores) == len(task.classes) or len(task.classes) == 2 else f" The {len(scores)} hardest classes."
    words = f"Each class against the rest, per {level}.{more}"
    found = [("ROC", plots.roc(f"{name}-roc", scores), words),
             ("Precision and recall", plots.precision_recall(f"{name}-pr", scores), words)]
  right, right_after = _hits(task, y, out), _hits(task, y, after) if after is not None else None
  found.append(("Reliability", plots.reliability(f"{name}-rel", right, right_after, "probability of what is said"),
                "On the dotted line a probability is what it says: of ten cases at 0.8 eight are right."))
  if task.kind != "multi":
    binary = len(task.classes) == 2
    values = out[:, 1] if binary else out[np.arange(len(y)), y]
    said = f"probability of {plots.short(task.classes[1])}" if binary else "probability of the true class"
    found.append((f"Every {level}", plots.strip(f"{name}-strip", task.classes, y, values, said, unit=level,
                                                chance=0.5 if binary else 1 / len(task.classes)),
                  f"One point per {level}, by true class (their number); bar: median; "
                  f"dotted: {'one half' if binary else 'chance'}."))
  return found


def _scores(task: tasks.Task, y: np.ndarray, out: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """{class: (is it, probability)} of those that occur and do not always; the hardest, where there are many."""
  scores = {}
  for k, c in enumerate(task.classes):
    there = y[:, k] >= 0 if task.kind == "multi" else np.ones(len(y), bool)
    positive = y[there, k] == 1 if task.kind == "multi" else y == k
    if positive.any() and not positive.all() and (task.kind == "multi" or len(task.classes) > 2 or k == 1):
      scores[c] = positive, out[there, k]
  if len(scores) > plots.MOST:
    order = sorted(scores, key=lambda c: float(metrics.figures("multi", scores[c][0][:, None], scores[c][1][:, None],
                                                               classes=(c,))["auroc"] or 0))
    scores = {c: scores[c] for c in order[:plots.MOST]}
  return scores


def _hits(task: tasks.Task, y: np.ndarray, out: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(probability of what is said (n,), is it right (n,)); of many labels each is a case."""
  if task.kind == "multi":
    there, yes = y >= 0, out >= 0.5
    return np.where(yes, out, 1 - out)[there], (yes == (y == 1))[there].astype(float)
  guess = tasks.median(out) if task.kind == "ordinal" else out.argmax(axis=1)
  return out[np.arange(len(out)), guess], (guess == y).astype(float)


def _class_table(run: Folder, task: tasks.Task, y: np.ndarray, level: str) -> list[tuple[str, int | None, list[str]]]:
  said, prefix = run.result["test"][level], run.prefix(task)
  return [(c, int((y[:, k] == 1).sum() if y.ndim > 1 else (y == k).sum()),
           [numbers.interval(said.get(f"{prefix}{share}/{c}"), 2) for share in SHARES])
          for k, c in enumerate(task.classes)]


def _confusion(task: tasks.Task, matrix: list[list[int]] | None) -> dict[str, Any]:
  """The parts `confusion` or `pairs`."""
  if matrix is None:
    return {}
  counts = np.array(matrix)
  share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
  if len(counts) <= CELLS:
    rows = [(c, list(zip(counts[k].tolist(), share[k].tolist(), strict=True))) for k, c in enumerate(task.classes)]
    return {"confusion": {"classes": task.classes, "rows": rows}}
  off = counts * (1 - np.eye(len(counts), dtype=int))
  order = np.argsort(-off, axis=None, kind="stable")[:PAIRS]
  places = [divmod(int(i), len(counts)) for i in order if off.flat[i]]
  return {"pairs": [(task.classes[i], task.classes[j], int(counts[i, j]), float(share[i, j])) for i, j in places]}


def _timelines(run: Folder, task: tasks.Task, name: str) -> list[tuple[str, Markup, str]]:
  """Of procedures, the worst first."""
  whole = evaluate.procedures(run.test, run.manifest, task)
  order = sorted(whole, key=lambda p: float((p[0][0] == p[0][1])[p[0][0] >= 0].mean()))[:VIDEOS]
  return [(f"Phases of {group}",
           plots.timeline(f"{name}-time{i}", group, y, guess, run.config.sequence.fps, task.classes), "")
          for i, ((y, guess), group) in enumerate(order)]
