"""First values of a model without compiling how they are drawn, which takes longer than most tests of it."""
import math
import zlib
from typing import Any

import jax
import numpy as np

from vft import trees


def variables(module: Any, *args: Any, seed: int = 0) -> dict[str, Any]:
  """What `module.init` gives, drawn by numpy: kernels as by He, scales and variances 1, biases and means 0."""
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), *args))

  def draw(name: str, x: jax.ShapeDtypeStruct) -> np.ndarray:
    kind = name.rpartition("/")[2]
    if kind in ("scale", "var"):
      return np.ones(x.shape, x.dtype)
    if kind in ("bias", "mean"):
      return np.zeros(x.shape, x.dtype)
    spread = math.sqrt(2 / math.prod(x.shape[:-1])) if kind == "kernel" else 0.02
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    return rng.normal(0, spread, x.shape).astype(x.dtype)
  return {kind: trees.unflatten({name: draw(name, x) for name, x in trees.flatten(tree).items()})
          for kind, tree in shapes.items()}
