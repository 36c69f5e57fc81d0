"""Measures of tasks with classes: what `metrics.figures` says of the clips, of any count of each group instead."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from vft import tasks
from vft.metrics import single as of_classes
from vft.metrics.binary import scored_names
from vft.metrics.multi import bce, check_multi, limits
from vft.stats import ranks
from vft.stats.draws import Measure, mean_defined, ratio, sums


def single(y: np.ndarray, p: np.ndarray, group: np.ndarray, count: int, *, classes: Sequence[str], topk: int,
           thresholds: float | None, rate: float) -> Measure:
  """Labels (n,), probabilities (n, K) and groups (n,) -> counts (R, G) -> the figures of `metrics.classification`."""
  y, p = of_classes.check(y, p, classes)
  n_classes, guess, ids = p.shape[1], of_classes.decide(p, thresholds), np.arange(p.shape[1])
  tops = of_classes.top_hits(y, p, topk) if n_classes > topk else 0 * y
  rows = np.stack([of_classes.nll(y, p), of_classes.brier(y, p), tops, y, guess, y * y, guess * guess, y * guess], 1)
  inside = of_classes.confidence_bin(p)[:, None] == np.arange(of_classes.BINS)
  gaps = ((p.argmax(1) == y) - p.max(1))[:, None] * inside
  row_sums, gap_sums = sums(rows, group, count), sums(gaps, group, count)
  counts = sums(_counts(y, guess, ids), group, count)
  ranked = [ranks.scored(y == c, p[:, c], group, rate) for c in ids]

  def measure(w: np.ndarray) -> dict[str, np.ndarray]:
    hits, true, said = np.moveaxis((w @ counts).reshape(len(w), 3, -1), 1, 0)  # each (R, K)
    nll, brier, top, *grades = (w @ row_sums).T
    size, recall, f1 = true.sum(1), ratio(hits, true), ratio(2 * hits, true + said)
    across = np.ascontiguousarray(w.T)
    each = [f(across) for f in ranked]
    out = dict(
        loss=nll / size, accuracy=hits.sum(1) / size, balanced_accuracy=recall.sum(1) / (true > 0).sum(1),
        macro_f1=f1.sum(1) / (true + said > 0).sum(1))
    out |= each[1] if n_classes == 2 else {k: mean_defined([e[k] for e in each]) for k in ("auroc", "auprc")}
    chance = size - (true * said).sum(1) / size
    out |= dict(
        map=mean_defined([e["auprc"] for e in each]),
        kappa=1 - ratio(size - hits.sum(1), np.where(chance > 1e-9, chance, 0), np.nan),
        quadratic_kappa=_quadratic_kappa(size, *grades), ece=np.abs(w @ gap_sums).sum(1) / size, brier=brier / size)
    if n_classes > topk:
      out[f"top{topk}_accuracy"] = top / size
    negatives = size[:, None] - true
    tables = _of_classes(hits, true, said, negatives)
    out |= {f"{name}/{c}": values[:, i] for name, values in tables.items() for i, c in enumerate(classes)}
    if n_classes > 2:
      out |= {f"{k}/{c}": each[i][k] for k in scored_names(rate) for i, c in enumerate(classes)}
    return out
  return measure


def multi(y: np.ndarray, p: np.ndarray, group: np.ndarray, count: int, *, classes: Sequence[str], thresholds: Any,
          rate: float) -> Measure:
  """Labels and probabilities (n, L), groups (n,) -> counts (R, G) -> the figures of `metrics.multi.multi_label`."""
  y, p, there = check_multi(y, p, classes)
  said = p >= limits(thresholds, p.shape[1])
  right = (y == said) | ~there
  rows = np.stack([bce(y, p, there), right.all(1), (right & there).sum(1), np.ones(len(y))], 1)
  row_sums = sums(rows, group, count)
  counts = sums(np.concatenate([y & said & there, y & there, said & there, there], 1), group, count)
  ranked = [ranks.scored(y[m, i], p[m, i], group[m], rate) for i, m in enumerate(there.T)]

  def measure(w: np.ndarray) -> dict[str, np.ndarray]:
    hits, true, positive, known = np.moveaxis((w @ counts).reshape(len(w), 4, -1), 1, 0)  # each (R, L)
    loss, whole, correct, size = (w @ row_sums).T
    f1, occurs, across = ratio(2 * hits, true + positive), true + positive > 0, np.ascontiguousarray(w.T)
    each = [f(across) for f in ranked]
    means = {k: mean_defined([e[k] for e in each]) for k in ("auroc", "auprc")}
    out = dict(
        loss=loss / size, accuracy=ratio(correct, known.sum(1), np.nan), subset_accuracy=whole / size,
        macro_f1=ratio(f1.sum(1), occurs.sum(1), np.nan),
        micro_f1=ratio(2 * hits.sum(1), (true + positive).sum(1)), **means, map=means["auprc"])
    negatives = known - true
    tables = _of_classes(hits, true, positive, negatives)
    out |= {f"{name}/{c}": values[:, i] for name, values in tables.items() for i, c in enumerate(classes)}
    return out | {f"{k}/{c}": e[k] for k in scored_names(rate) for c, e in zip(classes, each, strict=True)}
  return measure


def ordinal(y: np.ndarray, p: np.ndarray, group: np.ndarray, count: int, *, classes: Sequence[str]) -> Measure:
  """Grades (n,), probabilities (n, K) and groups (n,) -> counts (R, G) -> the figures of `metrics.ordinal.grades`."""
  y, p = of_classes.check(y, p, classes)
  guess = tasks.median(p)
  off = np.abs(y - guess)
  rows = np.stack([of_classes.nll(y, p), off <= 1, off, y, guess, y * y, guess * guess, y * guess], 1)
  row_sums = sums(rows, group, count)
  counts = sums(_counts(y, guess, np.arange(p.shape[1])), group, count)

  def measure(w: np.ndarray) -> dict[str, np.ndarray]:
    hits, true, _ = np.moveaxis((w @ counts).reshape(len(w), 3, -1), 1, 0)  # each (R, K)
    nll, near, distance, *grades = (w @ row_sums).T
    size, recall = true.sum(1), ratio(hits, true)
    return dict(
        loss=nll / size, accuracy=hits.sum(1) / size, balanced_accuracy=recall.sum(1) / (true > 0).sum(1),
        within_one_accuracy=near / size, mae=distance / size, quadratic_kappa=_quadratic_kappa(size, *grades)
    ) | {f"recall/{c}": ratio(hits, true, np.nan)[:, i] for i, c in enumerate(classes)}
  return measure


def _of_classes(hits: np.ndarray, true: np.ndarray, said: np.ndarray, negatives: np.ndarray) -> dict[str, np.ndarray]:
  """Hits, labels, predictions and labels of others (R, K) -> figures (R, K), nan where `metrics` says None."""
  shares = dict(precision=ratio(hits, said), recall=ratio(hits, true), f1=ratio(2 * hits, true + said))
  return {name: np.where(true > 0, share, np.nan) for name, share in shares.items()} | dict(
      specificity=ratio(negatives - said + hits, negatives, np.nan))


def _counts(y: np.ndarray, guess: np.ndarray, ids: np.ndarray) -> np.ndarray:
  """Classes (n,), predicted (n,) -> (n, 3 K): hits, labels and predictions of each class."""
  true, said = y[:, None] == ids, guess[:, None] == ids
  return np.concatenate([true & said, true, said], 1)


def _quadratic_kappa(size: np.ndarray, y: np.ndarray, g: np.ndarray, yy: np.ndarray, gg: np.ndarray,
                     yg: np.ndarray) -> np.ndarray:
  """Sums (R,) of grades, predicted grades, their squares and product: the seen over the expected squared distance."""
  expected = yy + gg - 2 * y * g / size
  return 1 - ratio(yy + gg - 2 * yg, np.where(expected > 1e-9, expected, 0), np.nan)
