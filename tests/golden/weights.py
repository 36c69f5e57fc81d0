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
    last, shape = re.split(r"[./]", name)[-1], shape["/x_layers/" in name:]  # of one layer where all are in one array
    if last == "running_var" or (len(shape) == 1 and last in ("weight", "scale")):
      values = 1 + 0.1 * np.abs(values)
    elif len(shape) < 2 or last in ("running_mean", "bias", "b"):
      values = 0.1 * values
    else:
      values = values / math.sqrt(fan_in(last, shape))
    out[name] = values.astype(np.float32)
  return out


def fan_in(last: str, shape: tuple[int, ...]) -> int:
  """Inputs of one output of a kernel of this shape, by the last part of its name."""
  if last == "w":  # of the heads in flax code like praxis: the width, the heads and their channels
    return shape[0]
  return math.prod(shape[:-1] if last.endswith((":0", "kernel")) else shape[1:])  # Keras and flax: width last


def make_video(shape: tuple[int, ...], seed: int) -> np.ndarray:
  """Normal values (B, T, H, W, 3)."""
  return np.random.RandomState(seed + 1).standard_normal(shape).astype(np.float32)


def sample(array: np.ndarray) -> np.ndarray:
  """The flat array, or BIG of its values where it is larger, always the same ones."""
  flat = np.asarray(array, np.float32).reshape(-1)
  return flat if flat.size <= BIG else flat[np.random.RandomState(0).choice(flat.size, BIG, replace=False)]
