"""Figures: sums over clips on the device while training, and the final ones per video or patient on the host."""
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sklearn.metrics
from clu import metrics as clu_metrics

from vft.errors import DataError, RunError

_ZERO: Any = 0  # the value of 0 / 0; sklearn's signature claims that zero_division is text

# Sums and a count; `merge` adds them up and only `compute` divides, so that padding bends nothing. Empty: nan.
StepMetrics = clu_metrics.Collection.create(
    loss=clu_metrics.Average.from_output("loss"), accuracy=clu_metrics.Average.from_output("correct"))


def step(losses: jax.Array, logits: jax.Array, labels: jax.Array, mask: jax.Array) -> Any:
  """Losses (B,), logits (B, K), labels (B,) and mask (B,) of a batch -> StepMetrics; rows outside the mask count 0."""
  correct = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
  return StepMetrics.single_from_model_output(
      loss=losses.astype(jnp.float32), correct=correct, mask=mask.astype(bool))


def classification(labels: Any, probs: Any, *, classes: Sequence[str], topk: int) -> dict[str, float | None]:
  """Labels (n,) and probabilities (n, K) -> {metric: value}, as scikit-learn defines them.

  loss is the mean of -log p(label) in nats. balanced_accuracy and auroc leave out classes absent from the labels;
  macro_f1 those absent from labels and predictions; a ratio 0 / 0 of one class is 0. auroc is that of class 1 where
  K = 2, else the mean of one against the rest, and None where only one class occurs. top{k}_accuracy exists where
  K > k.

  Raises DataError on labels that do not fit, RunError on probabilities that are not finite.
  """
  y, p = check(labels, probs, classes)
  n_classes = p.shape[1]
  guess = p.argmax(1)
  figures: dict[str, float | None] = {
      "loss": float(nll(y, p).mean()),
      "accuracy": float(sklearn.metrics.accuracy_score(y, guess)),
      # The mean recall of the classes that occur: balanced_accuracy_score without its warning on predicted others.
      "balanced_accuracy": float(sklearn.metrics.recall_score(
          y, guess, labels=np.unique(y), average="macro", zero_division=_ZERO)),
      "macro_f1": float(sklearn.metrics.f1_score(y, guess, average="macro", zero_division=_ZERO)),
      "auroc": _auroc(y, p),
  }
  if n_classes > topk:
    figures[f"top{topk}_accuracy"] = float(top_hits(y, p, topk).mean())
  each = sklearn.metrics.precision_recall_fscore_support(y, guess, labels=np.arange(n_classes), zero_division=_ZERO)
  for name, values in zip(("precision", "recall", "f1"), each[:3], strict=True):
    figures.update({f"{name}/{c}": float(v) for c, v in zip(classes, np.asarray(values), strict=True)})
  return figures


def confusion(labels: Any, probs: Any) -> np.ndarray:
  """Labels (n,) and probabilities (n, K) -> counts (K, K): rows are the true class, columns the most probable one."""
  y, p = check(labels, probs)
  return sklearn.metrics.confusion_matrix(y, p.argmax(1), labels=np.arange(p.shape[1]))


def pool(values: Any, labels: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
  """Values (n, K), labels (n,), groups (n,) -> their means (G, K), labels (G,) and names (G,) in sorted order.

  Serves views -> videos and videos -> patients alike. None where the rows of some group have different labels.
  """
  y = np.asarray(labels)
  names, first, inverse, counts = np.unique(
      np.asarray(groups), return_index=True, return_inverse=True, return_counts=True)
  if (y != y[first][inverse]).any():
    return None
  sums = np.zeros((len(names), np.shape(values)[1]))
  np.add.at(sums, inverse, np.asarray(values, np.float64))
  return sums / counts[:, None], y[first], names


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
  """Labels (n,) as int64 and probabilities (n, K) as float64. Raises DataError or RunError where they do not fit."""
  y, p = np.asarray(labels), np.asarray(probs, np.float64)
  if p.ndim != 2 or y.shape != p.shape[:1] or (classes is not None and len(classes) != p.shape[1]):
    raise DataError(f"Figures need labels (n,) and probabilities (n, K), got {y.shape} and {p.shape}"
                    f"{'' if classes is None else f' for {len(classes)} classes: {list(classes)}'}.")
  if not len(y):
    raise DataError("There are no clips to measure: a part of the split is empty. Give it a share in data.split.")
  if y.dtype.kind not in "iu" or y.min() < 0 or y.max() >= p.shape[1]:
    raise DataError(f"Labels must be whole numbers from 0 to {p.shape[1] - 1}, found {np.unique(y)[:10].tolist()}.")
  if not np.isfinite(p).all():
    bad = np.flatnonzero(~np.isfinite(p).all(1))
    raise RunError(f"The model's output is not finite for {len(bad)} of {len(p)} clips (first: row {bad[0]}). "
                   "Lower config.optim.group.lr or set config.optim.clip_norm=1.")
  return y.astype(np.int64), p


def _auroc(y: np.ndarray, p: np.ndarray) -> float | None:
  present = np.unique(y)
  if len(present) < 2:
    return None
  chosen = [1] if p.shape[1] == 2 else present
  return float(np.mean([sklearn.metrics.roc_auc_score(y == c, p[:, c]) for c in chosen]))
