"""What the figures of the folds of a cross-validation say together."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy.stats


def across_folds(values: Sequence[float | None]) -> dict[str, Any]:
  """One figure of each fold -> {value, low, high, std, n, folds}: mean, 95 % interval, deviation, how many and which.

  The interval is mean +- t(n - 1) std sqrt(1 / n + 1 / (n - 1)), the t interval with the correction of Nadeau & Bengio
  2003 (doi:10.1023/A:1024068626366): 1 / (n - 1) is a fold's test over its training size. Without it folds would count
  as independent, though any two share most of their training clips. It remains a rule of thumb: no estimate of the
  variance from the folds of one cross-validation is unbiased (Bengio & Grandvalet 2004, JMLR 5:1089), and of AUROC or
  ECE on small folds the mean itself is off. So it stands beside the bootstrap of the pooled predictions, which is the
  headline. It is not cut at 0 or 1. Folds that do not define the figure (None) are left out; None with fewer than two.
  """
  defined = np.array([v for v in values if v is not None], np.float64)
  n = len(defined)
  mean = float(defined.mean()) if n else None
  out: dict[str, Any] = dict(value=mean, low=None, high=None, std=None, n=n, folds=list(values))
  if mean is None or n < 2:
    return out
  std = float(defined.std(ddof=1))
  half = float(scipy.stats.t.ppf(0.975, n - 1)) * std * (1 / n + 1 / (n - 1)) ** 0.5
  return out | dict(low=mean - half, high=mean + half, std=std)
