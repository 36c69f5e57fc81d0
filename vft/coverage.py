"""Conformal sets of a run: calibrated on its validation, their coverage measured on its test."""
import contextlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from ml_collections import ConfigDict

from vft import conformal, evaluate, metrics, stats
from vft.data.manifest import Manifest
from vft.errors import DataError
from vft.tasks import Task

USUAL = (0.8, 0.9, 0.95)  # what result.json holds

Kept = tuple[evaluate.Predictions, Manifest]
Entries = dict[str, dict[str, dict[str, Any]]]  # task and level -> an entry


def usual(val: Kept, test: Kept, config: ConfigDict) -> dict[str, Entries]:
  """{"0.9": what `measure` finds} of USUAL: the part "conformal" of result.json, of tasks whose patients are enough."""
  found: dict[str, Entries] = {}
  for share in USUAL:
    for task in (t for t in val[1].tasks if t.kind in conformal.KINDS):
      with contextlib.suppress(DataError):
        found.setdefault(f"{share:g}", {})[task.name] = _of_task(task, val, test, config, share)
  return {share: entries for share, entries in found.items() if entries}


def measure(val: Kept, test: Kept, config: ConfigDict, share: float) -> Entries:
  """{task: {level: an entry of `conformal.fit` and of test: {coverage: {value, low, high, n}, size: ...}}}.

  Sets of a patient are of its pooled outputs. Every patient counts as one: `size` is of classes, or a width. Tasks of
  many labels have none. Raises ConfigError and DataError as `conformal.fit`.
  """
  tasks = val[1].tasks
  some = [t for t in tasks if t.kind in conformal.KINDS] or tasks
  return {t.name: _of_task(t, val, test, config, share) for t in some}


def _of_task(task: Task, val: Kept, test: Kept, config: ConfigDict, share: float) -> dict[str, dict[str, Any]]:
  of_test, out = evaluate.levels(*test, task), {}
  for level, (outputs, labels, groups) in evaluate.levels(*val, task).items():
    entry = conformal.fit(task.kind, labels, outputs, groups, share)
    out[level] = {**entry, "test": _on_test(of_test[level], entry, config) if level in of_test else None}
  return out


def _on_test(level: evaluate.Level, entry: Mapping[str, Any], config: ConfigDict) -> dict[str, Any] | None:
  outputs, labels, groups = level
  y, out, group = metrics.present(entry["kind"], labels, outputs, groups)
  if not len(y):
    return None
  inside, size = conformal.covered(y, out, entry)
  return stats.means({"coverage": inside, "size": size}, group, n=config.eval.bootstrap, seed=config.seed)


def columns(task: Task, outputs: np.ndarray, entry: Mapping[str, Any], alone: bool) -> dict[str, Any]:
  """Columns of a table of predictions: set, its classes joined by "|"; of a regression low and high."""
  prefix = "" if alone else f"{task.name}_"
  if task.kind == "regression":
    low, high = conformal.bounds(outputs, entry)
    return {f"{prefix}low": low, f"{prefix}high": high}
  return {f"{prefix}set": ["|".join(np.array(task.classes)[row]) for row in conformal.sets(outputs, entry)]}


def described(name: str, level: str, entry: Mapping[str, Any]) -> str:
  """One line for the terminal."""
  line = f"{name}: sets for a coverage of {entry['coverage']:g} per {level}, from {entry['patients']} patients"
  if not entry["test"]:
    return f"{line}; not measured on test."
  covered, size = entry["test"]["coverage"], entry["test"]["size"]
  around = "" if covered["low"] is None else f" [{covered['low']:.3f}, {covered['high']:.3f}]"
  what = "mean width" if entry["kind"] == "regression" else "classes on average"
  return (f"{line}; on {covered['n']} patients of test it is {covered['value']:.3f}{around}, "
          f"{size['value']:.3g} {what}.")
