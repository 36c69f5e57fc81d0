"""Depthwise convolution of images and videos: shifted multiply-adds, one image at a time, which stays in the cache."""
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from vft.models.ops.convolution import dilated, input_gradient_edges, pairs
from vft.models.ops.lowering import lowering

SMALL = 1e5  # products for an image; below this the library takes 3 ms at most, and compiles sooner
DIMENSIONS = ("NDHWC", "DHWIO", "NDHWC")


def depthwise_conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, [T,] H, W, C), kernel ([t,] h, w, 1, C) -> (B, [T',] H', W', C): `lax.conv_general_dilated`, for `nn.Conv`.

  On a CPU sums are in float32, also in bfloat16, and in float64 of float64. What is no such convolution, or small, goes
  to the library, on every device.
  """
  pads = pairs(x, kernel, strides, padding)
  skips = any(s > k for s, k in zip(strides, kernel.shape, strict=False))  # pixels that no tap sees
  if (x.ndim not in (4, 5) or kernel.shape[-2:] != (1, x.shape[-1]) or dilated(library) or skips
      or math.prod(x.shape[-3:-1]) * kernel.size / math.prod(strides[-2:]) < SMALL):
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  if x.ndim == 5:
    return _depthwise((tuple(strides), pads), x, kernel)
  return _depthwise(((1, *strides), ((0, 0), *pads)), x[:, None], kernel[None])[:, 0]


def _library(x, kernel, strides, pads):
  return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS,
                                  feature_group_count=x.shape[-1])


def _summed(x):
  """The number type of sums."""
  return jnp.promote_types(x.dtype, jnp.float32)


def _pieces(x, edges, kernel, strides):
  """Numbers of the output's frames, and a function of one -> what each tap multiplies, [(H', W', C)] as summed."""
  (span, high, across), (st, sh, sw) = kernel.shape[:3], strides
  x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), edges[0], *((0, 0, 0),) * 3))
  count = (x.shape[1] - span) // st + 1  # of a clip

  def windows(number):
    seen = lax.dynamic_slice_in_dim(x[number // count], number % count * st, span)
    seen = lax.pad(seen.astype(_summed(x)), jnp.zeros((), _summed(x)), ((0, 0, 0), *edges[1:], (0, 0, 0)))
    seen = lax.optimization_barrier(seen)  # in memory before it is read, or each reader would compute it again
    h, w = seen.shape[1:3]
    return [seen[t, i:h - high + i + 1:sh, j:w - across + j + 1:sw]
            for t in range(span) for i in range(high) for j in range(across)]
  return jnp.arange(len(x) * count), windows


def _taps(x, kernel, strides, edges):
  weights = kernel.astype(_summed(x)).reshape(-1, 1, 1, x.shape[-1])
  numbers, windows = _pieces(x, edges, kernel, strides)

  def one(number):
    return functools.reduce(operator.add, map(operator.mul, windows(number), weights)).astype(x.dtype)
  y = lax.map(one, numbers)
  return y.reshape(len(x), -1, *y.shape[1:])


def _gradients(x, kernel, g, strides, pads):  # two loops: of a frozen kernel or input the compiler drops one
  numbers, windows = _pieces(x, [(*pad, 0) for pad in pads], kernel, strides)
  slopes = g.reshape(len(numbers), *g.shape[2:])
  ones = jnp.ones((g.shape[2] * g.shape[3],), _summed(x))

  def add(total, pair):
    slope = pair[1].astype(_summed(x))
    # A product with ones sums faster than the library's sum over the leading axes.
    sums = [ones @ (part * slope).reshape(ones.size, -1) for part in windows(pair[0])]
    return total + jnp.stack(sums), None
  total, _ = lax.scan(add, jnp.zeros((kernel.size // x.shape[-1], x.shape[-1]), _summed(x)), (numbers, slopes))
  edges = input_gradient_edges(x, kernel, g, strides, pads)
  return (_taps(g, kernel[::-1, ::-1, ::-1], (1, 1, 1), edges), total.reshape(kernel.shape).astype(kernel.dtype))


def _forward(x, kernel, strides, pads):
  return _taps(x, kernel, strides, [(*pad, 0) for pad in pads])


_depthwise = lowering(_forward, _gradients, _library)
