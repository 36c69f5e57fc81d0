"""Dense convolution of images and videos: on a CPU products of patches, forward and backward, a few frames at a time.

Patches in space of a frame are made once; what the kernel's taps in time make of them is summed over time afterwards.
"""
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from vft.models.ops import winograd
from vft.models.ops.lowering import lowering

SMALL = 1e8  # products; below this little is gained, and the library compiles sooner
PIECE = 2**20  # values of the patches made at once: 4 MB


def conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, [T,] H, W, C), kernel ([t,] h, w, C, D) -> (B, [T',] H', W', D): `lax.conv_general_dilated`, for `nn.Conv`.

  Groups and dilation go to the library on every device, and so does what is small or bfloat16, but for kernels of one
  pixel.
  """
  pads = pairs(x, kernel, strides, padding)
  products = x.shape[0] * math.prod(_outputs(x, kernel.shape, strides, pads)) * kernel.size
  ours = max(kernel.shape[:-2]) == 1 or (products >= SMALL and x.dtype == jnp.float32)
  if x.ndim not in (4, 5) or kernel.shape[-2] != x.shape[-1] or dilated(library) or not ours:
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  if x.ndim == 5:
    return _conv((tuple(strides), pads), x, kernel)
  return _conv(((1, *strides), ((0, 0), *pads)), x[:, None], kernel[None])[:, 0]


def pairs(x, kernel, strides, padding) -> tuple[tuple[int, int], ...]:
  """Padding before and after, per axis."""
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(x.shape[1:-1], kernel.shape[:-2], strides, padding)
  return tuple((low, high) for low, high in padding)


def dilated(fields: dict[str, Any]) -> bool:
  return any(max(fields.get(name) or (1,)) > 1 for name in ("lhs_dilation", "rhs_dilation"))


def input_gradient_edges(x, kernel, g, strides, pads) -> list[tuple[int, int, int]]:
  """Zeros before, after and between the values of `g`, whose convolution with the reversed kernel is x's gradient."""
  return [(k - 1 - pad[0], n + pad[0] - (m - 1) * s - 1, s - 1)
          for n, m, k, s, pad in zip(x.shape[1:-1], g.shape[1:-1], kernel.shape[:-2], strides, pads, strict=True)]


def _outputs(x, shape, strides, pads) -> tuple[int, ...]:
  return tuple((n + sum(p) - k) // s + 1
               for n, k, s, p in zip(x.shape[1:-1], shape[:-2], strides, pads, strict=True))


def _library(x, kernel, strides, pads):
  return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))


def _time(taps: int, stride: int, before: int) -> tuple[int, int, int]:
  """Strides of frames that a kernel spans, zeros to set before its taps, and where its first stride lies."""
  front = -before % stride
  return -(-(front + taps) // stride), front, -(before + front) // stride


def _pieces(x, shape, strides, pads):
  """Frames (pieces, N, st, H, W, C) and a function of one piece -> patches (N H' W', st h w C)."""
  (_, high, across, c, _), (st, sh, sw), (_, h, w) = shape, strides, _outputs(x, shape, strides, pads)
  edges = [(p[0], (m - 1) * s + k - n - p[0], 0)  # less than 0 where the last pixels are in no window
           for n, p, k, s, m in zip(x.shape[2:4], pads[1:], shape[1:3], strides[1:], (h, w), strict=True)]
  x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (0, -x.shape[1] % st, 0), *edges, (0, 0, 0)))
  frames = x.shape[0] * x.shape[1] // st
  fit = frames if high == across == 1 else max(1, PIECE // (h * w * st * high * across * c))
  together = max(n for n in range(1, fit + 1) if frames % n == 0)

  def patches(piece):
    parts = [piece[:, r, i:i + (h - 1) * sh + 1:sh, j:j + (w - 1) * sw + 1:sw]
             for r in range(st) for i in range(high) for j in range(across)]
    return jnp.concatenate(parts, axis=-1).reshape(together * h * w, -1)
  return x.reshape(-1, together, st, *x.shape[2:]), patches


def _shift(x, frames: int, length: int):
  """Later by as many frames, in so many frames in all."""
  return lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), (frames, length - x.shape[1] - frames, 0), *((0, 0, 0),) * 3))


def _products(x, kernel, strides, pads):
  (taps, *_, d), (t, h, w) = kernel.shape, _outputs(x, kernel.shape, strides, pads)
  steps, front, first = _time(taps, strides[0], pads[0][0])
  if winograd.fits(x, kernel.shape, strides, (t, h, w)):
    parts = winograd.products(x, kernel, pads[1:], h, w)
  else:
    frames, patches = _pieces(x, kernel.shape, strides, pads)
    kernel = jnp.pad(kernel, ((front, steps * strides[0] - taps - front), *((0, 0),) * 4)).reshape(steps, -1, d)
    kernel = kernel.transpose(1, 0, 2).reshape(-1, steps * d)
    parts = lax.map(lambda piece: patches(piece) @ kernel, frames)
  parts = parts.reshape(x.shape[0], -1, h, w, steps, d)
  return functools.reduce(operator.add, (_shift(parts[..., i, :], -first - i, t) for i in range(steps)))


def _gradients(x, kernel, g, strides, pads):  # of a frozen kernel or input the compiler drops what is not needed
  edges = input_gradient_edges(x, kernel, g, strides, pads)
  apart = lax.pad(g, jnp.zeros((), g.dtype), ((0, 0, 0), *((0, 0, between) for *_, between in edges), (0, 0, 0)))
  reverse = kernel[::-1, ::-1, ::-1].swapaxes(3, 4)
  return (_products(apart, reverse, (1, 1, 1), [edge[:2] for edge in edges]),
          _kernel_gradient(x, kernel, g, strides, pads))


def _kernel_gradient(x, kernel, g, strides, pads):
  taps, d = kernel.shape[0], kernel.shape[-1]
  steps, front, first = _time(taps, strides[0], pads[0][0])
  frames, patches = _pieces(x, kernel.shape, strides, pads)
  slopes = jnp.stack([_shift(g, first + i, -(-x.shape[1] // strides[0])) for i in range(steps)], axis=-2)

  def add(total, pair):
    return total + lax.dot_general(patches(pair[0]), pair[1], (((0,), (0,)), ((), ()))), None
  total = jnp.zeros((strides[0] * kernel.size // taps // d, steps * d), x.dtype)
  total, _ = lax.scan(add, total, (frames, slopes.reshape(frames.shape[0], -1, steps * d)))
  total = total.reshape(-1, steps, d).transpose(1, 0, 2).reshape(-1, *kernel.shape[1:])
  return total[front:front + taps]


_conv = lowering(_products, _gradients, _library)
