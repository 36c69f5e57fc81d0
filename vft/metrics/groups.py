"""Views -> videos -> patients."""
from typing import Any

import numpy as np


def pool(values: Any, labels: Any, groups: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
  """Values (n, K), labels (n,), groups (n,) -> their means (G, K), labels (G,) and names (G,) in sorted order.

  Serves views -> videos and videos -> patients alike. None where the rows of some group have different labels. Labels
  may be (n, L) too; missing ones that are nan agree with nan.
  """
  y = np.asarray(labels)
  names, first, inverse, counts = np.unique(
      np.asarray(groups), return_index=True, return_inverse=True, return_counts=True)
  same = y == y[first][inverse]
  if y.dtype.kind == "f":
    same |= np.isnan(y) & np.isnan(y[first][inverse])
  if not same.all():
    return None
  sums = np.zeros((len(names), np.shape(values)[1]))
  np.add.at(sums, inverse, np.asarray(values, np.float64))
  return sums / counts[:, None], y[first], names
