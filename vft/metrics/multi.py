"""Figures of a task with L labels per clip, each yes, no or missing."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.metrics

from vft.errors import DataError
from vft.metrics import binary
from vft.metrics.single import ZERO, check_finite


def multi_label(labels: Any, probs: Any, *, classes: Sequence[str], thresholds: Any = None,
                rate: float = 0.9) -> dict[str, float | None]:
  """Labels (n, L) of 0, 1 and missing (-1 or nan), probabilities (n, L) -> {metric: value}; missing labels are masked.

  loss: binary cross-entropy, the mean over a clip's known labels, then over clips. accuracy: share of known labels
  that are right (1 - Hamming loss); subset_accuracy: of clips with all known labels right. macro_f1 leaves out labels
  that neither occur nor are predicted, micro_f1 counts all known labels together. auroc, auprc and map (the same as
  auprc) are means over the labels of which both values occur. Of a label that no clip has precision, recall and f1 are
  None, as is specificity of one that all have. A label is predicted from its threshold on (0.5; a number
  or (L,)).

  Raises DataError on labels that do not fit, RunError on probabilities that are not finite.
  """
  y, p, there = check_multi(labels, probs, classes)
  said = p >= limits(thresholds, p.shape[1])
  right = ((y == said) | ~there)
  each = [_of_label(y[m, i], p[m, i], said[m, i], rate) for i, m in enumerate(there.T)]
  occurs = np.flatnonzero(((y | said) & there).any(0))
  figures: dict[str, float | None] = {
      "loss": float(bce(y, p, there).mean()),
      "accuracy": float((right & there).sum() / there.sum()),
      "subset_accuracy": float(right.all(1).mean()),
      "macro_f1": binary.mean(each[i]["f1"] or 0.0 for i in occurs),
      "micro_f1": float(sklearn.metrics.f1_score(y[there], said[there], zero_division=ZERO)),
      "auroc": binary.mean(e["auroc"] for e in each),
      "auprc": binary.mean(e["auprc"] for e in each),
      "map": binary.mean(e["auprc"] for e in each),
  }
  return figures | {f"{k}/{c}": e[k] for k in each[0] for c, e in zip(classes, each, strict=True)}


def _of_label(y: np.ndarray, score: np.ndarray, said: np.ndarray, rate: float) -> dict[str, float | None]:
  parts = [None] * 3  # where no clip has the label
  if y.any():
    parts = sklearn.metrics.precision_recall_fscore_support(y, said, average="binary", zero_division=ZERO)[:3]
  named = zip(("precision", "recall", "f1"), parts, strict=True)
  return {**{name: None if value is None else float(value) for name, value in named},
          "specificity": binary.specificity(y, said), **binary.scored(y, score, rate)}


def limits(thresholds: Any, n_labels: int) -> np.ndarray:
  """None, a number or (L,) -> thresholds (L,). Raises DataError on another number of them."""
  values = np.asarray(0.5 if thresholds is None else thresholds, np.float64)
  if values.shape not in ((), (1,), (n_labels,)):
    raise DataError(f"There are {n_labels} labels and thresholds of shape {values.shape}: give one, or one per label.")
  return np.broadcast_to(values, (n_labels,))


def bce(labels: np.ndarray, probs: np.ndarray, there: np.ndarray) -> np.ndarray:
  """Labels (n, L) bool, probabilities (n, L), known (n, L) -> (n,) in nats: the mean over the known labels."""
  right = np.maximum(np.where(labels, probs, 1 - probs), np.finfo(np.float64).eps)
  return -(np.log(right) * there).sum(1) / np.maximum(there.sum(1), 1)


def check_multi(labels: Any, probs: Any, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Labels (n, L) as bool, probabilities (n, L) as float64, known (n, L) bool. Raises DataError or RunError."""
  y, p = np.asarray(labels), np.asarray(probs, np.float64)
  if p.ndim != 2 or y.shape != p.shape or len(classes) != p.shape[1]:
    raise DataError(f"Figures of many labels need labels and probabilities (n, L), got {y.shape} and {p.shape} for "
                    f"{len(classes)} labels: {list(classes)}.")
  there = y >= 0
  if not there.any():
    raise DataError("There are no labels to measure: a part of the split has none. Give it a share in data.split.")
  if not np.isin(y[there], (0, 1)).all():
    raise DataError(f"Many labels must be 0 or 1 (missing: -1 or nan), found {np.unique(y[there])[:10].tolist()}.")
  check_finite(p)
  return (y == 1), p, there
