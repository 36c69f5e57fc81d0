"""Intervals of phase recognition."""
from collections.abc import Sequence
from typing import Any

import numpy as np

from vft.errors import DataError
from vft.metrics import phase as of_videos
from vft.stats.draws import limits, resample

Videos = Sequence[tuple[Any, Any]]


def phase(videos: Videos, groups: Any, *, n: int = 2000, seed: int = 0,
          **options: Any) -> dict[str, dict[str, float | int | None]]:
  """What `metrics.phase.figures` takes, and groups (V,) of the videos -> {metric: {value, low, high, n}}.

  Args:
    n: resamples.
    seed: of the draws.
    options: those of `metrics.phase.figures`.
  """
  values, drawn, count = _drawn(videos, groups, n, seed, options)
  out = {}
  for k, v in values.items():
    low, high = limits(drawn[k], count)
    out[k] = dict(value=v, low=low, high=high, n=count)
  return out


def phase_between(a: Sequence[tuple[Any, Any]], b: Sequence[tuple[Any, Any]], *, n: int = 2000, seed: int = 0,
                  **options: Any) -> dict[str, dict[str, float | None]]:
  """The figures of a minus those of b, both pairs (video, group) of other patients -> {metric: {value, low, high}}."""
  (va, drawn, count), (vb, other, least) = (
      _drawn([video for video, _ in part], [group for _, group in part], n, seed + i, options)
      for i, part in enumerate((a, b)))
  out = {}
  for k, one in va.items():
    two, (low, high) = vb[k], limits(drawn[k] - other[k], min(count, least))
    out[k] = dict(value=None if one is None or two is None else one - two, low=low, high=high)
  return out


def _drawn(videos: Videos, groups: Any, n: int, seed: int,
           options: dict[str, Any]) -> tuple[dict[str, float | None], dict[str, np.ndarray], int]:
  """The figures, those of `n` resamples, and how many groups there are."""
  names, place = np.unique(np.asarray(groups), return_inverse=True)
  if place.shape != (len(videos),):
    raise DataError(f"Every video needs one group, got {place.shape} groups for {len(videos)} videos.")
  tables = of_videos.count(videos, **options)
  values = of_videos.summarise(tables, np.ones((1, len(videos))))
  drawn = resample(lambda w: of_videos.summarise(tables, w[:, place]), len(names), n, seed)
  return {k: None if np.isnan(v[0]) else float(v[0]) for k, v in values.items()}, drawn, len(names)
