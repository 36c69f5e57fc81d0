"""95 % intervals by the bootstrap over groups (patients): all clips of a drawn patient come along, as often as drawn.

Percentile intervals of the cluster bootstrap (Field & Welsh 2007, doi:10.1111/j.1467-9868.2007.00593.x). Resamples
are not built: a resample is how often each group was drawn, and every figure follows from sums per group.
"""
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vft import metrics
from vft.errors import DataError

Intervals = dict[str, tuple[float | None, float | None]]


def figures(labels: Any, probs: Any, groups: Any, *, classes: Sequence[str], topk: int, n: int = 2000,
            seed: int = 0) -> dict[str, dict[str, float | int | None]]:
  """Labels (n,), probabilities (n, K), groups (n,) -> {metric: {value, low, high, n}}, where n counts the groups."""
  values = metrics.classification(labels, probs, classes=classes, topk=topk)
  limits = bootstrap(labels, probs, groups, classes=classes, topk=topk, n=n, seed=seed)
  count = len(np.unique(np.asarray(groups)))
  return {k: dict(value=v, low=limits[k][0], high=limits[k][1], n=count) for k, v in values.items()}


def bootstrap(labels: Any, probs: Any, groups: Any, *, classes: Sequence[str], topk: int, n: int = 2000,
              seed: int = 0) -> Intervals:
  """Labels (n,), probabilities (n, K), groups (n,) -> {metric: (low, high)}, 95 % limits from `n` resamples of groups.

  Resamples in which a figure is undefined (auroc with one class) are left out of its limits. The limits are None where
  no resample defines it, and where there is only one group, which says nothing about other groups.
  """
  table = _table(labels, probs, groups, classes, topk)
  return {k: _limits(table, v) for k, v in _resample(table, n, seed).items()}


def bootstrap_difference(labels: Any, probs_a: Any, probs_b: Any, groups: Any, *, classes: Sequence[str], topk: int,
                         n: int = 2000, seed: int = 0) -> dict[str, dict[str, float | None]]:
  """The figures of a minus those of b on the same clips -> {metric: {value, low, high}}; both see the same draws."""
  a, b = (metrics.classification(labels, p, classes=classes, topk=topk) for p in (probs_a, probs_b))
  table, other = (_table(labels, p, groups, classes, topk) for p in (probs_a, probs_b))
  drawn, drawn_other = _resample(table, n, seed), _resample(other, n, seed)
  result = {}
  for k, va in a.items():
    vb, (low, high) = b[k], _limits(table, drawn[k] - drawn_other[k])
    result[k] = dict(value=None if va is None or vb is None else va - vb, low=low, high=high)
  return result


def draws(count: int, n: int, seed: int) -> Iterator[np.ndarray]:
  """`n` resamples of `count` groups -> parts (R, count) float64: how often each group is drawn; rows sum to count."""
  rng = np.random.default_rng(seed)
  part = max(1, 4_000_000 // count)  # 32 MB of counts at a time
  for start in range(0, n, part):
    size = min(part, n - start)
    drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
    yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def _table(labels: Any, probs: Any, groups: Any, classes: Sequence[str], topk: int) -> dict[str, Any]:
  """What the figures need of each of the G groups: sums (G, 2), counts (G, 3 K) and pairs {class: (rows, matrix)}."""
  y, p = metrics.check(labels, probs, classes)
  names, group = np.unique(np.asarray(groups), return_inverse=True)
  if group.shape != y.shape:
    raise DataError(f"Every clip needs one group, got {group.shape} groups for {y.shape} labels.")
  order = np.argsort(group, kind="stable")
  y, p, group = y[order], p[order], group[order]
  n_classes, starts = p.shape[1], np.searchsorted(group, np.arange(len(names)))
  guess, ids = p.argmax(1), np.arange(p.shape[1])
  rows = np.stack([metrics.nll(y, p), metrics.top_hits(y, p, topk) if n_classes > topk else 0 * y], 1)
  counts = np.concatenate([(y == guess)[:, None] & (y[:, None] == ids), y[:, None] == ids, guess[:, None] == ids], 1)
  present = np.unique(y)
  scored = [1] if n_classes == 2 else present.tolist()
  return dict(
      classes=tuple(classes), topk=topk,
      sums=np.add.reduceat(rows, starts, axis=0), counts=np.add.reduceat(counts.astype(np.float64), starts, axis=0),
      pairs={c: _pairs(y == c, p[:, c], group, starts) for c in scored if len(present) > 1})


def _pairs(positive: np.ndarray, score: np.ndarray, group: np.ndarray,
           starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Groups with positives (P,), and a matrix (P, G): how often positives of the one outrank negatives of the other.

  Equal scores count one half: Mann-Whitney's U, which is the area under the ROC curve times the number of pairs.
  """
  rows = np.flatnonzero(positive)
  owners, place = np.unique(group[rows], return_inverse=True)
  matrix = np.zeros((len(owners), len(starts)))
  part = max(1, 4_000_000 // len(score))
  for at in range(0, len(rows), part):
    mine = score[rows[at:at + part], None]
    wins = ((mine > score) + 0.5 * (mine == score)) * ~positive
    np.add.at(matrix, place[at:at + part], np.add.reduceat(wins, starts, axis=1))
  return owners, matrix


def _resample(table: dict[str, Any], n: int, seed: int) -> dict[str, np.ndarray]:
  """{metric: (n,)} over the resamples; nan where undefined. The names are those of `metrics.classification`."""
  parts = [_figures(table, w) for w in draws(len(table["sums"]), n, seed)]
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def _figures(table: dict[str, Any], w: np.ndarray) -> dict[str, np.ndarray]:
  """How often each group was drawn (R, G) -> {metric: (R,)}."""
  hits, true, said = np.moveaxis((w @ table["counts"]).reshape(len(w), 3, -1), 1, 0)  # each (R, K)
  sums, size = w @ table["sums"], true.sum(1)
  recall, f1 = _ratio(hits, true), _ratio(2 * hits, true + said)
  out = dict(
      loss=sums[:, 0] / size, accuracy=hits.sum(1) / size, balanced_accuracy=recall.sum(1) / (true > 0).sum(1),
      macro_f1=f1.sum(1) / (true + said > 0).sum(1), auroc=_auroc(table["pairs"], w, true))
  if len(table["classes"]) > table["topk"]:
    out[f"top{table['topk']}_accuracy"] = sums[:, 1] / size
  for name, values in (("precision", _ratio(hits, said)), ("recall", recall), ("f1", f1)):
    out.update({f"{name}/{c}": values[:, i] for i, c in enumerate(table["classes"])})
  return out


def _auroc(pairs: dict[int, tuple[np.ndarray, np.ndarray]], w: np.ndarray, true: np.ndarray) -> np.ndarray:
  """Mean area over the scored classes that a resample holds, (R,); nan where it holds only one class."""
  total, found, size = np.zeros(len(w)), np.zeros(len(w)), true.sum(1)
  for c, (owners, matrix) in pairs.items():
    possible = true[:, c] * (size - true[:, c])
    total += _ratio(np.einsum("rp,rp->r", w @ matrix.T, w[:, owners]), possible)
    found += possible > 0
  return np.divide(total, found, out=np.full(len(w), np.nan), where=found > 0)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
  return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _limits(table: dict[str, Any], values: np.ndarray) -> tuple[float | None, float | None]:
  defined = values[~np.isnan(values)]
  if not len(defined) or len(table["sums"]) < 2:
    return None, None
  low, high = np.percentile(defined, (2.5, 97.5))
  return float(low), float(high)
