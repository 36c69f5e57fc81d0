"""Conformal prediction: sets of classes, or intervals, that hold the truth at a chosen rate over new patients.

A new patient is as likely as any of the n of validation to be the worst, so that of each patient's clips together a
weight of 1 / (n + 1) stands at its scores, and one at infinity: hierarchical conformal prediction, which covers a clip
of a new patient at the rate asked for or more (arXiv:2306.06342, sec. 3). With one clip each it is the usual quantile.
The guarantee is for patients like those of validation, and not for a model that was chosen on them: so test tells.
"""
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from vft import metrics
from vft.errors import ConfigError, DataError

KINDS = ("single", "ordinal", "regression")
_ROUNDING = 1e-9


def check(coverage: float) -> None:
  """Raises ConfigError for a coverage that is none."""
  if not 0 < coverage < 1:
    raise ConfigError(f"--coverage is {coverage}; expected a share between 0 and 1, such as --coverage=0.9.")


def needed(coverage: float) -> int:
  """The least number of patients that tells anything at this coverage.

  >>> needed(0.9), needed(0.95)
  (9, 19)
  """
  return math.ceil(coverage / (1 - coverage) - _ROUNDING)


def fit(kind: str, labels: Any, outputs: Any, groups: Any, coverage: float) -> dict[str, Any]:
  """Labels, outputs and groups (n,) of validation -> {kind, coverage, patients, quantile}.

  Outputs are as the model gives them: a temperature is fitted on the same clips, which would break the guarantee.

  Raises ConfigError for a coverage or kind without one, DataError with too few patients.
  """
  check(coverage)
  if kind not in KINDS:
    raise ConfigError(f"A task of many labels (kind {kind!r}) has no conformal sets; thresholds decide each label.\n"
                      "Leave out --coverage.")
  y, out, group = metrics.present(kind, labels, outputs, np.asarray(groups))
  _, inverse, counts = np.unique(group, return_inverse=True, return_counts=True)
  if len(counts) < needed(coverage):
    below = math.floor(100 * len(counts) / (len(counts) + 1)) / 100
    lower = f" or ask for less, up to --coverage={below:.2f}" if below > 0 else ""
    raise DataError(f"A coverage of {coverage:g} needs {needed(coverage)} labelled validation patients; the run has "
                    f"{len(counts)}.\nGive validation a larger share in data.split{lower}.")
  found = of_truth(kind, y, out)
  order = np.argsort(found, kind="stable")
  reached = np.cumsum(1 / counts[inverse[order]]) / (len(counts) + 1)
  first = min(int(np.searchsorted(reached, coverage - _ROUNDING)), len(order) - 1)
  return dict(kind=kind, coverage=coverage, patients=len(counts), quantile=float(found[order[first]]))


def scores(kind: str, outputs: Any) -> np.ndarray:
  """Probabilities (n, K) -> how little each class conforms (n, K).

  single: 1 - p, whose sets are the smallest on average (arXiv:1609.00451). ordinal: what was taken before the grade by
  a range that grows from the most probable grade to the more probable neighbour, so that sets have no gaps
  (arXiv:2207.02238).
  """
  p = np.asarray(outputs, np.float64)
  return 1 - p if kind == "single" else np.array([_before(row) for row in p]).reshape(p.shape)


def of_truth(kind: str, labels: np.ndarray, outputs: Any) -> np.ndarray:
  """Labels (n,) that are known and their outputs -> the score of the truth (n,); of numbers the distance."""
  if kind == "regression":
    return np.abs(np.asarray(outputs, np.float64)[:, 0] - labels)
  return scores(kind, outputs)[np.arange(len(labels)), labels]


def sets(outputs: Any, entry: Mapping[str, Any]) -> np.ndarray:
  """Outputs (n, K) and an entry of `fit` -> which classes are in the sets (n, K); never none, as none says nothing."""
  found = scores(entry["kind"], outputs)
  best = found == found.min(axis=1, keepdims=True)
  return np.asarray((found <= entry["quantile"]) | best)


def bounds(outputs: Any, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
  """Numbers (n, 1) and an entry of `fit` -> lower and upper ends (n,) (split conformal, arXiv:1604.04173, sec. 2.2)."""
  middle = np.asarray(outputs, np.float64)[:, 0]
  return middle - entry["quantile"], middle + entry["quantile"]


def covered(labels: np.ndarray, outputs: Any, entry: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
  """Labels (n,) that are known -> whether each is covered, and the size (n,): classes, or the width."""
  if entry["kind"] == "regression":
    low, high = bounds(outputs, entry)
    return (low <= labels) & (labels <= high), high - low
  inside = sets(outputs, entry)
  return inside[np.arange(len(labels)), labels], inside.sum(axis=1)


def _before(p: np.ndarray) -> np.ndarray:
  first = last = int(p.argmax())
  out, taken = np.zeros(len(p)), float(p[first])
  while first > 0 or last < len(p) - 1:
    left, right = p[first - 1] if first else -1.0, p[last + 1] if last < len(p) - 1 else -1.0
    if left >= right:
      first = at = first - 1
    else:
      last = at = last + 1
    out[at], taken = taken, taken + float(p[at])
  return out
