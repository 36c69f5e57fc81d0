"""The measure of a regression."""
import numpy as np

from vft.metrics.regression import check_regression
from vft.stats.draws import Measure, ratio, sums


def regression(y: np.ndarray, x: np.ndarray, group: np.ndarray, count: int) -> Measure:
  """Labels (n,), outputs (n,) and groups (n,) -> counts (R, G) -> the figures of `metrics.regression.numbers`."""
  y, x = check_regression(y, x)
  error, a, b = x - y, y - y.mean(), x - x.mean()  # centred: squares of large numbers would cancel
  shift = error.mean()
  e = error - shift
  rows = np.stack([np.ones_like(y), np.abs(error), error**2, e, e * e, a, b, a * a, b * b, a * b], 1)
  table = sums(rows, group, count)
  least = [1e-12 * max((v * v).max(), 1e-300) for v in (a, b)]

  def measure(w: np.ndarray) -> dict[str, np.ndarray]:
    size, off, squares, e, ee, a, b, aa, bb, ab = (w @ table).T
    spread_y, spread_x = (np.where(s > m, s, 0) for s, m in zip(
        (aa - a * a / size, bb - b * b / size), least, strict=True))  # 0: a resample that does not vary
    bias = shift + e / size
    limit = 1.96 * np.sqrt(np.maximum(ratio(ee - e * e / size, size - 1, np.nan), 0))
    return dict(
        mae=off / size, rmse=np.sqrt(squares / size), r2=1 - ratio(squares, spread_y, np.nan),
        pearson=ratio(ab - a * b / size, np.sqrt(spread_y * spread_x), np.nan),
        bias=bias, loa_low=bias - limit, loa_high=bias + limit)
  return measure
