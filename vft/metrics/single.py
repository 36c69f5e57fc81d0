"""Figures of a task with one label of K per clip."""
from collections.abc import Sequence
from typing import Any

import numpy as np
import sklearn.metrics

from vft.errors import DataError, NotFiniteError
from vft.metrics import binary

ZERO: Any = 0  # the value of 0 / 0; sklearn's signature claims that zero_division is text
BINS = 15  # of the expected calibration error


def classification(labels: Any, probs: Any, *, classes: Sequence[str], topk: int, thresholds: float | None = None,
                   rate: float = 0.9) -> dict[str, float | None]:
  """Labels (n,) and probabilities (n, K) -> {metric: value}, as scikit-learn defines them.

  loss is the mean of -log p(label) in nats. balanced_accuracy, auroc, auprc and map leave out classes absent from the
  labels; macro_f1 those absent from labels and predictions. Of a class absent from the labels precision, recall and
  f1 are None, as is specificity where there is no other one; precision of what is never predicted is 0. auroc, auprc
  and the figures at a fixed `rate` (see `binary.scored`) are those of class 1 where K = 2; else they exist per class,
  one against the rest, and auroc and auprc are their means; None where only one class occurs. map is the mean of
  auprc over all classes. brier is the mean of sum_k (p_k - y_k)^2, halved where K = 2. top{k}_accuracy exists where
  K > k.

  Raises DataError on labels that do not fit, NotFiniteError on probabilities that are not finite.
  """
  y, p = check(labels, probs, classes)
  n_classes = p.shape[1]
  guess, ids = decide(p, thresholds), np.arange(n_classes)
  each = {c: binary.scored(y == c, p[:, c], rate) for c in ids}
  shown = each[1] if n_classes == 2 else {k: binary.mean(v[k] for v in each.values()) for k in ("auroc", "auprc")}
  figures: dict[str, float | None] = {
      "loss": float(nll(y, p).mean()),
      "accuracy": float(sklearn.metrics.accuracy_score(y, guess)),
      # The mean recall of the classes that occur: balanced_accuracy_score without its warning on predicted others.
      "balanced_accuracy": float(sklearn.metrics.recall_score(
          y, guess, labels=np.unique(y), average="macro", zero_division=ZERO)),
      "macro_f1": float(sklearn.metrics.f1_score(y, guess, average="macro", zero_division=ZERO)),
      **shown,
      "map": binary.mean(v["auprc"] for v in each.values()),
      "kappa": kappa(y, guess, n_classes),
      "quadratic_kappa": kappa(y, guess, n_classes, weights="quadratic"),
      "ece": ece(y, p),
      "brier": float(brier(y, p).mean()),
  }
  if n_classes > topk:
    figures[f"top{topk}_accuracy"] = float(top_hits(y, p, topk).mean())
  parts = sklearn.metrics.precision_recall_fscore_support(y, guess, labels=ids, zero_division=ZERO)
  for name, values in zip(("precision", "recall", "f1"), parts[:3], strict=True):
    figures.update({f"{name}/{c}": float(v) if (y == i).any() else None
                    for i, (c, v) in enumerate(zip(classes, np.asarray(values), strict=True))})
  figures.update({f"specificity/{c}": binary.specificity(y == i, guess == i) for i, c in enumerate(classes)})
  if n_classes > 2:
    figures.update({f"{k}/{c}": each[i][k] for k in binary.scored_names(rate) for i, c in enumerate(classes)})
  return figures


def decide(probs: np.ndarray, threshold: float | None = None) -> np.ndarray:
  """Probabilities (n, K) -> classes (n,): the most probable, or where K = 2, class 1 from a threshold on."""
  if threshold is None:
    return probs.argmax(1)
  if probs.shape[1] != 2:
    raise DataError(f"A threshold decides between 2 classes; here are {probs.shape[1]}. Leave it out.")
  return (probs[:, 1] >= threshold).astype(np.int64)


def confusion(labels: Any, probs: Any, guesses: Any = None) -> np.ndarray:
  """Labels (n,) and probabilities (n, K) -> counts (K, K): rows are the true class, columns what is said of it.

  That is the most probable class, or `guesses` (n,).
  """
  y, p = check(labels, probs)
  said = p.argmax(1) if guesses is None else guesses
  return sklearn.metrics.confusion_matrix(y, said, labels=np.arange(p.shape[1]))


def kappa(labels: np.ndarray, guesses: np.ndarray, n_classes: int, weights: str | None = None) -> float | None:
  """Cohen's kappa (n,), (n,); None where labels and guesses are all the same one class: chance agrees, too."""
  if len(np.union1d(labels, guesses)) < 2:
    return None
  how: Any = weights
  return float(sklearn.metrics.cohen_kappa_score(labels, guesses, labels=np.arange(n_classes), weights=how))


def ece(labels: np.ndarray, probs: np.ndarray) -> float:
  """Expected calibration error of the most probable class, 15 bins of equal width (arXiv:1706.04599, eq. 3)."""
  gap = (probs.argmax(1) == labels) - probs.max(1)
  return float(np.abs(np.bincount(confidence_bin(probs), gap, BINS)).sum() / len(labels))


def confidence_bin(probs: np.ndarray) -> np.ndarray:
  """Probabilities (n, K) -> (n,) from 0 to 14: the highest lies in (b / 15, (b + 1) / 15]."""
  return np.clip(np.ceil(probs.max(1) * BINS).astype(np.int64) - 1, 0, BINS - 1)


def brier(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
  """Labels (n,) and probabilities (n, K) -> (n,): sum_k (p_k - y_k)^2, halved where K = 2 as in scikit-learn."""
  return ((probs - np.eye(probs.shape[1])[labels])**2).sum(1) / (2 if probs.shape[1] == 2 else 1)


def nll(labels: np.ndarray, probs: np.ndarray) -> np.ndarray:
  """Labels (n,) and probabilities (n, K) -> -log p(label) (n,) in nats, at most 36 (p is kept above 2.2e-16)."""
  return -np.log(np.maximum(probs[np.arange(len(labels)), labels], np.finfo(np.float64).eps))


def top_hits(labels: np.ndarray, probs: np.ndarray, k: int) -> np.ndarray:
  """Labels (n,) and probabilities (n, K) -> (n,) bool: the label is among the k most probable classes.

  Of equal probabilities the later class counts as the more probable one, as in sklearn's top_k_accuracy_score.
  """
  best = np.argsort(probs, axis=1, kind="stable")[:, ::-1][:, :k]
  return (best == labels[:, None]).any(1)


def check(labels: Any, probs: Any, classes: Sequence[str] | None = None) -> tuple[np.ndarray, np.ndarray]:
  """Labels (n,) as int64 and probabilities (n, K) as float64. Raises DataError or NotFiniteError for others."""
  y, p = np.asarray(labels), np.asarray(probs, np.float64)
  if p.ndim != 2 or y.shape != p.shape[:1] or (classes is not None and len(classes) != p.shape[1]):
    raise DataError(f"Figures need labels (n,) and probabilities (n, K), got {y.shape} and {p.shape}"
                    f"{'' if classes is None else f' for {len(classes)} classes: {list(classes)}'}.")
  if not len(y):
    raise DataError("There are no clips to measure: a part of the split is empty. Give it a share in data.split.")
  if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= p.shape[1]:
    raise DataError(f"Labels must be whole numbers from 0 to {p.shape[1] - 1}, found {np.unique(y)[:10].tolist()}.")
  check_finite(p)
  return y.astype(np.int64), p


def check_finite(outputs: np.ndarray) -> None:
  """Raises NotFiniteError where rows of outputs (n, K) are not finite."""
  if not np.isfinite(outputs).all():
    bad = np.flatnonzero(~np.isfinite(outputs).all(1))
    raise NotFiniteError(f"The model's output is not finite for {len(bad)} of {len(outputs)} clips (first: row "
                         f"{bad[0]}). Lower config.optim.group.lr or set config.optim.clip_norm=1.")
