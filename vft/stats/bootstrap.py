"""Intervals of the figures of one task."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from vft import metrics
from vft.errors import DataError
from vft.stats import classes as of_classes
from vft.stats import numbers
from vft.stats.draws import Measure, limits, resample

Intervals = dict[str, tuple[float | None, float | None]]


def figures(labels: Any, outputs: Any, groups: Any, *, classes: Sequence[str] = (), topk: int = 5, n: int = 2000,
            seed: int = 0, kind: str = "single", thresholds: Any = None,
            rate: float = 0.9) -> dict[str, dict[str, float | int | None]]:
  """What `metrics.figures` takes, and groups (n,) -> {metric: {value, low, high, n}}, where n counts the groups.

  Args:
    n: resamples.
    seed: of the draws.

  >>> found = figures([0, 1] * 10, [[0.8, 0.2], [0.3, 0.7]] * 10, groups=range(20), classes=("a", "b"), n=200)
  >>> found["accuracy"]
  {'value': 1.0, 'low': 1.0, 'high': 1.0, 'n': 20}
  """
  y, out, group = metrics.present(kind, labels, outputs, _checked(groups, labels))
  options: dict[str, Any] = dict(classes=classes, topk=topk, thresholds=thresholds, rate=rate)
  values = metrics.figures(kind, y, out, **options)
  intervals = bootstrap(y, out, group, kind=kind, n=n, seed=seed, **options)
  count = len(np.unique(group))
  return {k: dict(value=v, low=intervals[k][0], high=intervals[k][1], n=count) for k, v in values.items()}


def bootstrap(labels: Any, outputs: Any, groups: Any, *, classes: Sequence[str] = (), topk: int = 5, n: int = 2000,
              seed: int = 0, kind: str = "single", thresholds: Any = None, rate: float = 0.9) -> Intervals:
  """What `metrics.figures` takes, and groups (n,) -> {metric: (low, high)}, 95 % limits from `n` resamples of groups.

  Resamples in which a figure is undefined (auroc with one class) are left out of its limits. The limits are None where
  no resample defines it, and where there is only one group, which says nothing about other groups. Drawing again adds
  noise to every bin of ECE, so that its resamples lie above it: they are moved down by as much, to 0 at the least.
  """
  measure, count = _measure(kind, labels, outputs, groups, classes, topk, thresholds, rate)
  drawn = resample(measure, count, n, seed)
  if "ece" in drawn:
    whole = measure(np.ones((1, count)))["ece"]
    drawn["ece"] = np.maximum(drawn["ece"] - (drawn["ece"].mean() - whole), 0)
  return {k: limits(v, count) for k, v in drawn.items()}


def bootstrap_difference(labels: Any, outputs_a: Any, outputs_b: Any, groups: Any, *, classes: Sequence[str] = (),
                         topk: int = 5, n: int = 2000, seed: int = 0, kind: str = "single", thresholds: Any = None,
                         rate: float = 0.9) -> dict[str, dict[str, float | None]]:
  """The figures of a minus those of b on the same clips -> {metric: {value, low, high}}; both see the same draws."""
  both = outputs_a, outputs_b
  a, b = (metrics.figures(kind, labels, out, classes=classes, topk=topk, thresholds=thresholds, rate=rate)
          for out in both)
  (one, count), (two, _) = (_measure(kind, labels, out, groups, classes, topk, thresholds, rate) for out in both)
  drawn, other = resample(one, count, n, seed), resample(two, count, n, seed)
  result = {}
  for k, va in a.items():
    vb, (low, high) = b[k], limits(drawn[k] - other[k], count)
    result[k] = dict(value=None if va is None or vb is None else va - vb, low=low, high=high)
  return result


def bootstrap_between(a: tuple[Any, Any, Any], b: tuple[Any, Any, Any], *, n: int = 2000, seed: int = 0,
                      **options: Any) -> dict[str, dict[str, float | None]]:
  """The figures of a minus those of b, both (labels, outputs, groups) -> {metric: {value, low, high}}.

  Their patients are others, so each is resampled by itself. `options` are those of `figures`.
  """
  (va, drawn), (vb, other) = (_drawn(*part, n=n, seed=seed + i, **options) for i, part in enumerate((a, b)))
  result = {}
  for k in (k for k in va if k in vb):
    one, two = drawn[k], other[k]
    sizes = min(len(np.unique(part[2])) for part in (a, b))
    low, high = limits(one - two, sizes)
    result[k] = dict(value=None if va[k] is None or vb[k] is None else va[k] - vb[k], low=low, high=high)
  return result


def _drawn(labels: Any, outputs: Any, groups: Any, *, n: int, seed: int, kind: str = "single",
           classes: Sequence[str] = (), topk: int = 5, thresholds: Any = None,
           rate: float = 0.9) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """The figures, and those of `n` resamples."""
  y, out, group = metrics.present(kind, labels, outputs, _checked(groups, labels))
  measure, count = _measure(kind, y, out, group, classes, topk, thresholds, rate)
  return (metrics.figures(kind, y, out, classes=classes, topk=topk, thresholds=thresholds, rate=rate),
          resample(measure, count, n, seed))


def _measure(kind: str, labels: Any, outputs: Any, groups: Any, classes: Sequence[str], topk: int, thresholds: Any,
             rate: float) -> tuple[Measure, int]:
  """The measure of a kind, and how many groups there are."""
  y, out, group = metrics.present(kind, labels, outputs, _checked(groups, labels))
  names, place = np.unique(group, return_inverse=True)
  args = y, out, place, len(names)
  if kind == "single":
    measure = of_classes.single(*args, classes=classes, topk=topk, thresholds=thresholds, rate=rate)
  elif kind == "multi":
    measure = of_classes.multi(*args, classes=classes, thresholds=thresholds, rate=rate)
  else:
    measure = of_classes.ordinal(*args, classes=classes) if kind == "ordinal" else numbers.regression(*args)
  return measure, len(names)


def _checked(groups: Any, labels: Any) -> np.ndarray:
  group = np.asarray(groups)
  if group.shape != np.shape(labels)[:1]:
    raise DataError(f"Every clip needs one group, got {group.shape} groups for {np.shape(labels)} labels.")
  return group
