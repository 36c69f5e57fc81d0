"""Figures of a task whose classes are grades."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.metrics

from vft import tasks
from vft.metrics.single import ZERO, check, kappa, nll


def grades(labels: Any, probs: Any, *, classes: Sequence[str]) -> dict[str, float | None]:
  """Grades (n,) and probabilities (n, K) -> {metric: value}. What is predicted is the median grade, see tasks.median.

  mae is in grades, within_one_accuracy the share at most one grade off, loss the mean of -log p(grade) in nats.
  The recall of a grade without labels is None.
  """
  y, p = check(labels, probs, classes)
  guess = tasks.median(p)
  recalls = np.asarray(sklearn.metrics.precision_recall_fscore_support(
      y, guess, labels=np.arange(p.shape[1]), zero_division=ZERO)[1])
  return {
      "loss": float(nll(y, p).mean()),
      "accuracy": float(sklearn.metrics.accuracy_score(y, guess)),
      "balanced_accuracy": float(recalls[np.unique(y)].mean()),
      "within_one_accuracy": float((np.abs(y - guess) <= 1).mean()),
      "mae": float(sklearn.metrics.mean_absolute_error(y, guess)),
      "quadratic_kappa": kappa(y, guess, p.shape[1], weights="quadratic"),
      **{f"recall/{c}": float(v) if (y == i).any() else None
         for i, (c, v) in enumerate(zip(classes, recalls, strict=True))},
  }
