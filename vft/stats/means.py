"""Means over groups with intervals."""
from collections.abc import Mapping
from typing import Any

import numpy as np

from vft.stats.draws import limits, ratio, resample, sums


def means(values: Mapping[str, Any], groups: Any, *, n: int = 2000, seed: int = 0) -> dict[str, dict[str, Any]]:
  """{name: (n,)} and groups (n,) -> {name: {value, low, high, n}}: the mean of the groups' means, which count alike.

  >>> means({"covered": [1, 1, 0]}, ["a", "a", "b"], n=20)["covered"]["value"]
  0.5
  """
  names, inverse, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
  found = np.stack([np.asarray(v, np.float64) for v in values.values()], axis=1)
  of_groups = sums(found, inverse, len(names)) / sizes[:, None]

  def measure(drawn: np.ndarray) -> dict[str, np.ndarray]:
    return {k: ratio(drawn @ of_groups[:, i], drawn.sum(axis=1)) for i, k in enumerate(values)}
  resampled = resample(measure, len(names), n, seed)
  out = {}
  for i, name in enumerate(values):
    low, high = limits(resampled[name], len(names))
    out[name] = dict(value=float(of_groups[:, i].mean()), low=low, high=high, n=len(names))
  return out
