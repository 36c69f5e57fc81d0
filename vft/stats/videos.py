"""Intervals of phase recognition."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from vft.errors import DataError
from vft.metrics import phase as of_videos
from vft.stats.draws import limits, resample


def phase(videos: Sequence[tuple[Any, Any]], groups: Any, *, classes: Sequence[str], fps: float | Sequence[float],
          boundary_s: float = 10.0, rule: str = "neighbours", as_published: bool = False, n: int = 2000,
          seed: int = 0) -> dict[str, dict[str, float | int | None]]:
  """What `metrics.phase.figures` takes, and groups (V,) of the videos -> {metric: {value, low, high, n}}.

  Args:
    n: resamples.
    seed: of the draws.
  """
  names, place = np.unique(np.asarray(groups), return_inverse=True)
  if place.shape != (len(videos),):
    raise DataError(f"Every video needs one group, got {place.shape} groups for {len(videos)} videos.")
  tables = of_videos.count(
      videos, classes=classes, fps=fps, boundary_s=boundary_s, rule=rule, as_published=as_published)
  values = of_videos.summarise(tables, np.ones((1, len(videos))))
  drawn = resample(lambda w: of_videos.summarise(tables, w[:, place]), len(names), n, seed)
  out = {}
  for k, v in values.items():
    low, high = limits(drawn[k], len(names))
    out[k] = dict(value=None if np.isnan(v[0]) else float(v[0]), low=low, high=high, n=len(names))
  return out
