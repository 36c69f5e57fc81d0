"""Figures of a task whose label is a number, such as an ejection fraction."""
from typing import Any

import numpy as np
import scipy.stats
import sklearn.metrics

from vft.errors import DataError
from vft.metrics.single import check_finite


def numbers(labels: Any, outputs: Any) -> dict[str, float | None]:
  """Labels (n,) and outputs (n,) or (n, 1) in the same unit -> {metric: value}, in that unit where it has one.

  bias is the mean of output - label, loa_low and loa_high are bias - and + 1.96 standard deviations (n - 1) of it: the
  limits of agreement of Bland & Altman (1986, doi:10.1016/S0140-6736(86)90837-8). r2 is None where labels, pearson
  where labels or outputs do not vary.
  """
  y, x = check_regression(labels, outputs)
  error = x - y
  spread = float(1.96 * error.std(ddof=1)) if len(y) > 1 else None
  bias = float(error.mean())
  line: Any = scipy.stats.pearsonr(y, x) if varies(y) and varies(x) else None
  return {
      "mae": float(sklearn.metrics.mean_absolute_error(y, x)),
      "rmse": float(sklearn.metrics.root_mean_squared_error(y, x)),
      "r2": float(sklearn.metrics.r2_score(y, x)) if varies(y) else None,
      "pearson": None if line is None else float(line.statistic),
      "bias": bias,
      "loa_low": None if spread is None else bias - spread,
      "loa_high": None if spread is None else bias + spread,
  }


def varies(values: np.ndarray) -> bool:
  """Whether values (n,) differ by more than rounding."""
  return bool(np.ptp(values) > 1e-9 * max(np.abs(values).max(), 1e-300))


def check_regression(labels: Any, outputs: Any) -> tuple[np.ndarray, np.ndarray]:
  """Labels (n,) and outputs (n,) as float64. Raises DataError or RunError where they do not fit."""
  y, x = np.asarray(labels, np.float64), np.asarray(outputs, np.float64)
  if x.shape not in (y.shape, (*y.shape, 1)) or y.ndim != 1:
    raise DataError(f"Figures of a regression need labels (n,) and outputs (n,) or (n, 1), got {y.shape}, {x.shape}.")
  if not len(y):
    raise DataError("There are no clips to measure: a part of the split is empty. Give it a share in data.split.")
  if not np.isfinite(y).all():
    raise DataError(f"{(~np.isfinite(y)).sum()} of {len(y)} targets are not finite numbers. Leave the cells empty.")
  check_finite(x.reshape(-1, 1))
  return y, x.reshape(-1)
