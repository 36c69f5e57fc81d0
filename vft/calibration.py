"""Temperature and thresholds, chosen on validation clips only, then applied to others: what calibration.json holds."""
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.optimize
import scipy.special
import sklearn.metrics

from vft import metrics
from vft.errors import ConfigError, DataError, did_you_mean

RULES = ("youden", "sensitivity")  # for a threshold
_RANGE = (-3.0, 3.0)  # of log10 T
_TINY = float(np.finfo(np.float32).tiny)  # probabilities of float32 may be 0


def fit(kind: str, labels: Any, outputs: Any, *, rule: str = "youden", rate: float = 0.9) -> dict[str, Any]:
  """Labels and outputs of validation clips, as `metrics.figures` takes them -> one task's entry of calibration.json.

  The temperature has the least mean -log p on these clips (arXiv:1706.04599, sec. 4.2; of many labels, one for all).
  It is fitted on log p, which of one view differs from the logits by a constant, and of many views is their pooled
  probability. Clips without a mistake have no such temperature, the sharper the better: then it stays 1.

  Thresholds exist where K = 2, on class 1, and for each of many labels: youden has the highest
  sensitivity + specificity - 1 (Youden 1950, doi:10.1002/1097-0142(1950)3:1<32::AID-CNCR2820030106>3.0.CO;2-3),
  sensitivity the highest specificity at a sensitivity of at least `rate`. A label of which one value alone occurs
  keeps 0.5.

  The entry: kind, clips, temperature (None of a regression), thresholds (a list of one number or L; None where there is
  nothing to decide; they hold for probabilities after the temperature), rule and rate.

  Raises ConfigError on an unknown rule or kind, DataError without a labelled clip.
  """
  if rule not in RULES:
    raise ConfigError(f"Unknown rule of a threshold {rule!r}; known: {list(RULES)}{did_you_mean(rule, RULES)}.")
  y, out = metrics.present(kind, labels, outputs)
  if not len(y):
    raise DataError("There is no labelled validation clip to calibrate on. Give validation a share in data.split.")
  if kind == "regression":
    return dict(kind=kind, clips=len(y), temperature=None, thresholds=None, rule=rule, rate=rate)
  temperature = _temperature(kind, y, np.asarray(out, np.float64))
  p, thresholds = _scaled(kind, out, temperature), None
  if kind == "multi":
    thresholds = [threshold(y[m, i] == 1, p[m, i], rule, rate) for i, m in enumerate((y >= 0).T)]
  elif kind == "single" and p.shape[1] == 2:
    thresholds = [threshold(y == 1, p[:, 1], rule, rate)]
  return dict(kind=kind, clips=len(y), temperature=temperature, thresholds=thresholds, rule=rule, rate=rate)


def apply(outputs: Any, entry: Mapping[str, Any]) -> np.ndarray:
  """Outputs (n, K) or (n, L) and an entry of `fit` -> calibrated probabilities, float64; of a regression unchanged."""
  if entry["temperature"] is None:
    return np.asarray(outputs, np.float64)
  return _scaled(entry["kind"], outputs, entry["temperature"])


def thresholds(entry: Mapping[str, Any]) -> Any:
  """An entry of `fit` -> what `metrics.figures` takes as `thresholds`: a number, a list (L,) or None."""
  values = entry["thresholds"]
  return values[0] if values is not None and entry["kind"] == "single" else values


def threshold(positive: np.ndarray, score: np.ndarray, rule: str, rate: float) -> float:
  """Positive and score (n,) -> the threshold, halfway to the next lower score; positive is what reaches it."""
  if positive.all() or not positive.any():
    return 0.5
  false, true, cuts = sklearn.metrics.roc_curve(positive, score, drop_intermediate=False)
  good = true - false if rule == "youden" else np.where(true >= rate, 1 - false, -1.0)
  best = int(np.argmax(good))  # of equal ones the highest threshold
  lower = score[score < cuts[best]]
  return float((min(cuts[best], 1.0) + lower.max()) / 2) if len(lower) else float(min(cuts[best], 1.0))


def _temperature(kind: str, y: np.ndarray, p: np.ndarray) -> float:
  def loss(log10: float) -> float:
    scaled = np.maximum(_scaled(kind, p, 10**log10), _TINY)
    if kind != "multi":
      return float(-np.log(scaled[np.arange(len(y)), y]).mean())
    right = np.where(y == 1, scaled, np.maximum(1 - scaled, _TINY))
    return float(-(np.log(right)[y >= 0]).mean())
  found: Any = scipy.optimize.minimize_scalar(loss, bounds=_RANGE, method="bounded", options=dict(xatol=1e-6))
  return 1.0 if loss(_RANGE[0]) <= found.fun + 1e-9 else float(10**found.x)


def _scaled(kind: str, outputs: Any, temperature: float) -> np.ndarray:
  p = np.asarray(outputs, np.float64)
  if kind == "multi":
    p = np.clip(p, _TINY, 1 - np.finfo(np.float32).epsneg)
    return scipy.special.expit(scipy.special.logit(p) / temperature)
  return scipy.special.softmax(np.log(np.maximum(p, _TINY)) / temperature, axis=1)
