"""Figures: sums over clips on the device while training, and the final ones per video or patient on the host.

Values are scikit-learn's and scipy's where those have them. A figure that is not defined, such as AUROC with one
class, is None. `stats` gives the intervals.
"""
from collections.abc import Sequence
from typing import Any

import numpy as np

from vft.errors import ConfigError, did_you_mean
from vft.metrics import phase
from vft.metrics.groups import pool
from vft.metrics.multi import bce, check_multi, multi_label
from vft.metrics.ordinal import grades
from vft.metrics.regression import check_regression, numbers
from vft.metrics.single import check, classification, confusion, decide, nll, top_hits
from vft.metrics.steps import StepMetrics, step

__all__ = [
  "KINDS",
  "StepMetrics",
  "check",
  "classification",
  "confusion",
  "decide",
  "figures",
  "loss",
  "nll",
  "phase",
  "pool",
  "present",
  "step",
  "top_hits",
]

Figures = dict[str, float | None]
KINDS = ("single", "multi", "ordinal", "regression")  # of tasks


def figures(kind: str, labels: Any, outputs: Any, *, classes: Sequence[str] = (), topk: int = 5,
            thresholds: Any = None, rate: float = 0.9) -> Figures:
  """The figures of one task of a kind -> {metric: value}; rows whose label is missing are left out.

  Args:
    kind: single | multi | ordinal | regression. Another one raises ConfigError.
    labels: (n,) classes or grades, -1 missing; multi: (n, L) of 0 and 1, -1 or nan missing; regression: (n,), nan
      missing.
    outputs: probabilities (n, K), multi: (n, L); regression: (n,) or (n, 1) in the unit of the labels.
    classes: names of the K classes or grades, or of the L labels; not used by regression.
    topk: top{k}_accuracy exists where K > k (single).
    thresholds: from which probability on class 1 is decided (single, K = 2), or each label (multi: a number or (L,)).
      None: the most probable class; 0.5 of multi.
    rate: of sensitivity@{rate} (at this specificity or more) and of specificity@{rate} (at this sensitivity or more).

  >>> found = figures("single", [0, 1, 1], [[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], classes=("normal", "abnormal"))
  >>> round(found["accuracy"], 2), found["recall/abnormal"], found["auroc"]
  (0.67, 0.5, 1.0)
  """
  y, out = present(kind, labels, outputs)
  if kind == "single":
    return classification(y, out, classes=classes, topk=topk, thresholds=thresholds, rate=rate)
  if kind == "multi":
    return multi_label(y, out, classes=classes, thresholds=thresholds, rate=rate)
  return grades(y, out, classes=classes) if kind == "ordinal" else numbers(y, out)


def loss(kind: str, labels: Any, outputs: Any, *, classes: Sequence[str] = ()) -> float:
  """"loss" of `figures` alone, in a thousandth of the time; of a regression the root of the mean square, "rmse"."""
  y, out = present(kind, labels, outputs)
  if kind == "regression":
    y, out = check_regression(y, out)
    return float(np.sqrt(((out - y) ** 2).mean()))
  return float((bce(*check_multi(y, out, classes)) if kind == "multi" else nll(*check(y, out, classes))).mean())


def present(kind: str, labels: Any, outputs: Any, *others: Any) -> tuple[np.ndarray, ...]:
  """Labels, outputs and what else has a row per clip -> the same without the rows that have no label."""
  if kind not in KINDS:
    raise ConfigError(f"Unknown kind of task {kind!r}; known: {list(KINDS)}{did_you_mean(kind, KINDS)}.")
  y = np.asarray(labels)
  there = ~np.isnan(y) if kind == "regression" else y >= 0  # nan >= 0 is false
  there = there.any(1) if y.ndim > 1 else there
  arrays = (y, *(np.asarray(x) for x in (outputs, *others)))
  arrays = tuple(x[there] if len(x) == len(y) else x for x in arrays)  # else `check` says what does not fit
  whole = kind in ("single", "ordinal") and y.dtype.kind == "f" and (arrays[0] == np.round(arrays[0])).all()
  return (arrays[0].astype(np.int64), *arrays[1:]) if whole else arrays
