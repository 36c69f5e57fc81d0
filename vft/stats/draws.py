"""How often each group is drawn, and the limits of what comes of it."""
from collections.abc import Callable, Iterator

import numpy as np

# Counts (R, G) -> {metric: (R,)}, nan where a resample does not define it.
Measure = Callable[[np.ndarray], dict[str, np.ndarray]]
BLOCK = 256  # resamples measured at a time: their arrays stay in the cache


def draws(count: int, n: int, seed: int) -> Iterator[np.ndarray]:
  """`n` resamples of `count` groups -> parts (R, count) float64: how often each group is drawn; rows sum to count."""
  rng = np.random.default_rng(seed)
  part = max(1, 4_000_000 // count)  # 32 MB of counts at a time
  for start in range(0, n, part):
    size = min(part, n - start)
    drawn = rng.integers(count, size=(size, count)) + count * np.arange(size)[:, None]
    yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)


def resample(measure: Measure, count: int, n: int, seed: int) -> dict[str, np.ndarray]:
  """{metric: (n,)} over `n` resamples of `count` groups."""
  parts = [measure(w[i:i + BLOCK]) for w in draws(count, n, seed) for i in range(0, len(w), BLOCK)]
  return {k: np.concatenate([part[k] for part in parts]) for k in parts[0]}


def limits(values: np.ndarray, count: int) -> tuple[float | None, float | None]:
  """The 2.5th and 97.5th percentile of the values (n,) that are defined; None without any, or with one group."""
  defined = values[~np.isnan(values)]
  if not len(defined) or count < 2:
    return None, None
  low, high = np.percentile(defined, (2.5, 97.5))
  return float(low), float(high)


def ratio(top: np.ndarray, bottom: np.ndarray, empty: float = 0.0) -> np.ndarray:
  """top / bottom, and `empty` where the bottom is not above 0."""
  top, bottom = np.broadcast_arrays(top, bottom)
  return np.divide(top, bottom, out=np.full(top.shape, empty), where=bottom > 0)


def sums(rows: np.ndarray, group: np.ndarray, count: int) -> np.ndarray:
  """Rows (n, M) and their groups (n,) -> sums per group (count, M)."""
  out = np.zeros((count, rows.shape[1]))
  np.add.at(out, group, rows)
  return out


def mean_defined(values: list[np.ndarray]) -> np.ndarray:
  """The mean over arrays (R,) of what is not nan; nan where nothing is defined."""
  stacked = np.array(values)
  found = (~np.isnan(stacked)).sum(0)
  return ratio(np.nansum(stacked, axis=0), found, np.nan)
