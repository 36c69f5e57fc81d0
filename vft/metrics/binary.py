"""Figures of one score against yes and no: ranking, and operating points at a fixed rate."""
from collections.abc import Iterable

import numpy as np
import sklearn.metrics


def scored(positive: np.ndarray, score: np.ndarray, rate: float) -> dict[str, float | None]:
  """Positive (n,) bool and score (n,) -> auroc, auprc, sensitivity@{rate}, specificity@{rate}; None of one class only.

  auprc is the average precision, without interpolation. sensitivity@{rate} is the highest at a specificity of at least
  `rate`, specificity@{rate} the highest at a sensitivity of at least `rate`, over the thresholds that the scores offer.
  """
  if positive.all() or not positive.any():
    return dict.fromkeys(scored_names(rate))
  false, true, _ = sklearn.metrics.roc_curve(positive, score, drop_intermediate=False)
  # Back to counts: 1 - 0.1 is below 0.9 in floating point, 90 / 100 is not.
  specificity = np.round((1 - false) * (~positive).sum()) / (~positive).sum()
  values = (sklearn.metrics.roc_auc_score(positive, score), sklearn.metrics.average_precision_score(positive, score),
            true[specificity >= rate].max(), specificity[true >= rate].max())
  return {k: float(v) for k, v in zip(scored_names(rate), values, strict=True)}


def scored_names(rate: float) -> tuple[str, ...]:
  """The names of the figures of `scored`."""
  return "auroc", "auprc", f"sensitivity@{rate:g}", f"specificity@{rate:g}"


def mean(values: Iterable[float | None]) -> float | None:
  """The mean of those that are defined; None where none is."""
  defined = [v for v in values if v is not None]
  return float(np.mean(defined)) if defined else None


def specificity(positive: np.ndarray, said: np.ndarray) -> float | None:
  """Share of the negatives (n,) that are said to be negative; None where there are none."""
  return None if positive.all() else float((~positive & ~said).sum() / (~positive).sum())
