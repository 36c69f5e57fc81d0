"""Figures of one score against yes and no over resamples: `metrics.binary.scored` with weights instead of rows."""
from collections.abc import Callable

import numpy as np

from vft.metrics.binary import scored_names
from vft.stats.draws import ratio


def scored(positive: np.ndarray, score: np.ndarray, group: np.ndarray,
           rate: float) -> Callable[[np.ndarray], dict[str, np.ndarray]]:
  """Positive, score and group (n,) -> f(counts (G, R)) -> {"auroc", "auprc", ...: (R,)}, nan with one class only.

  Along the falling scores, cumulative sums of the counts say for each positive how many positives and negatives score
  as high or higher; all figures are sums over the positives of something of these. Ties stand together.
  """
  pos, neg = (np.flatnonzero(m)[np.argsort(-score[m], kind="stable")] for m in (positive, ~positive))
  at = -score[pos]
  with_ties, above = (np.searchsorted(-score[neg], at, side=side) for side in ("right", "left"))
  ties = bool((with_ties != above).any())
  last = np.searchsorted(at, at, side="right") - 1  # the last positive of the same score
  pos_group, neg_group = group[pos], group[neg]

  def measure(counts: np.ndarray) -> dict[str, np.ndarray]:
    mine, others = counts[pos_group], _cumulative(counts[neg_group])  # (P, R), (N + 1, R)
    true = _cumulative(mine)[1:][last]
    false = others[with_ties]
    n_true, n_false = mine.sum(0), others[-1]
    higher = (false + others[above]) / 2 if ties else false
    least = np.min(np.where(true >= needed(n_true, rate), false, n_false), axis=0, initial=np.inf)
    both = (n_true > 0) & (n_false > 0)
    values = (
        1 - ratio(np.einsum("pr,pr->r", mine, higher), n_true * n_false),
        ratio(np.einsum("pr,pr->r", mine, ratio(true, true + false)), n_true),
        ratio(np.einsum("pr,pr->r", mine, false <= n_false - needed(n_false, rate)), n_true),
        ratio(n_false - least, n_false))
    return {k: np.where(both, v, np.nan) for k, v in zip(scored_names(rate), values, strict=True)}
  return measure


def needed(total: np.ndarray, rate: float) -> np.ndarray:
  """The least whole k (R,) with k / total >= rate: by that division, so that 90 of 100 are 0.9."""
  k = np.ceil(rate * total)
  k = np.where(ratio(k - 1, total) >= rate, k - 1, k)
  return np.where(ratio(k, total) < rate, k + 1, k)


def _cumulative(values: np.ndarray) -> np.ndarray:
  """(n, R) -> (n + 1, R): sums of the rows before each. A loop over rows: numpy's cumsum walks columns here."""
  out = np.zeros((len(values) + 1, values.shape[1]))
  for i, row in enumerate(values):
    np.add(out[i], row, out=out[i + 1])
  return out
