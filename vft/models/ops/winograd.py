"""Convolution by kernels of 3 x 3 pixels and stride 1 with 16 products for four outputs, not 36 (arXiv:1509.09308)."""
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

PIECE = 2**21  # values of the products made at once: 8 MB


def fits(x: Any, shape: tuple[int, ...], strides: tuple[int, ...], outputs: tuple[int, ...]) -> bool:
  """Whether that is faster: not where few channels or a half-empty last tile cost more than the products saved."""
  return shape[1:3] == (3, 3) and max(strides) == 1 and min(outputs[1:]) > 8 and x.shape[-1] >= 32


def products(x: jax.Array, kernel: jax.Array, pads: Any, h: int, w: int) -> jax.Array:
  """x (B, T, H, W, C), kernel (t, 3, 3, C, D), pads of H and W -> (B T, h, w, t D): frames by taps in time."""
  (taps, _, _, c, d), tiles = kernel.shape, (-(-h // 2), -(-w // 2))
  edges = [(p[0], 2 * m + 2 - n - p[0], 0) for n, p, m in zip(x.shape[2:4], pads, tiles, strict=True)]
  x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, 0, 0), *edges, (0, 0, 0)))
  frames = x.shape[0] * x.shape[1]
  fit = max(1, PIECE // (16 * tiles[0] * tiles[1] * max(c, taps * d)))
  together = max(n for n in range(1, fit + 1) if frames % n == 0)
  factors = [jnp.moveaxis(factor, 0, 1).reshape(c, taps * d) for row in _taps(kernel) for factor in _taps(row)]

  def one(piece):
    values = [value for row in _differences(piece, 1) for value in _differences(row, 2)]
    made = [(value.reshape(-1, c) @ factor).reshape(together, *tiles, taps * d)
            for value, factor in zip(values, factors, strict=True)]
    return _outputs([_outputs(made[i:i + 4], 2) for i in range(0, 16, 4)], 1)[:, :h, :w]
  return lax.map(one, x.reshape(-1, together, *x.shape[2:])).reshape(frames, h, w, -1)


def _taps(kernel):
  """(t, 3, ...) -> four (t, ...)."""
  a, b, c = (kernel[:, i] for i in range(3))
  return a, (a + b + c) / 2, (a - b + c) / 2, c


def _differences(x, axis):
  """2 m + 2 values along an axis -> four times m."""
  m = x.shape[axis] // 2 - 1
  a, b, c, d = (lax.slice_in_dim(x, i, i + 2 * m - 1, 2, axis) for i in range(4))
  return a - c, b + c, c - b, b - d


def _outputs(products, axis):
  """Four times m values -> 2 m along the axis."""
  a, b, c, d = products
  y = jnp.stack([a + b + c, b - c - d], axis + 1)
  return y.reshape(*y.shape[:axis], -1, *y.shape[axis + 2:])
