"""Seeded arrays under the names and in the shapes of an original's weights: the same in every environment."""
import math
import re

import numpy as np

BIG = 4096  # of a larger array only this many values, drawn with a seed, are kept


def make_weights(shapes: dict[str, tuple[int, ...]], seed: int) -> dict[str, np.ndarray]:
  """Kernels of variance 1 / fan-in, biases and means near 0, scales and variances near 1, in the order of names."""
  random, out = np.random.RandomState(seed), {}
  for name, shape in shapes.items():
    values = random.standard_normal(shape).astype(np.float32)
    last = re.split(r"[./]", name)[-1]
    if last == "running_var" or (len(shape) == 1 and last in ("weight", "scale")):
      values = 1 + 0.1 * np.abs(values)
    elif len(shape) < 2 or last in ("running_mean", "bias"):
      values = 0.1 * values
    else:
      width_last = name.endswith((":0", "/kernel"))  # Keras, flax
      values = values / math.sqrt(math.prod(shape[:-1] if width_last else shape[1:]))
    out[name] = values.astype(np.float32)
  return out


def make_video(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Normal values (B, T, H, W, 3)."""
  return np.random.RandomState(seed + 1).standard_normal(shape).astype(np.float32)


def sample(array: np.ndarray) -> np.ndarray:
  """The flat array, or BIG of its values where it is larger, always the same ones."""
  flat = np.asarray(array, np.float32).reshape(-1)
  return flat if flat.size <= BIG else flat[np.random.RandomState(0).choice(flat.size, BIG, replace=False)]
