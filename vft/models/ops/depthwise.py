"""Depthwise convolution of images: shifted multiply-adds, one image at a time, so that it stays in the cache."""
import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from vft.models.ops.convolution import dilated, input_gradient_edges, pairs
from vft.models.ops.lowering import lowering

DIMENSIONS = ("NHWC", "HWIO", "NHWC")


def depthwise_conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, H, W, C), kernel (h, w, 1, C) -> (B, H', W', C), as `lax.conv_general_dilated`, for `nn.Conv`.

  On a CPU sums are in float32, also in bfloat16. What is no such convolution goes to the library, on every device.
  """
  if x.ndim != 4 or kernel.shape[2:] != (1, x.shape[-1]) or dilated(library) or max(strides) > min(kernel.shape[:2]):
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  return _depthwise((tuple(strides), pairs(x, kernel, strides, padding)), x, kernel)


def _library(x, kernel, strides, pads):
  return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS,
                                  feature_group_count=x.shape[-1])


def _windows(image, edges, kernel, strides):
  """Of an image (H, W, C): what each tap of the kernel multiplies, (H', W', C) float32."""
  image = lax.pad(image.astype(jnp.float32), jnp.float32(0), (*edges, (0, 0, 0)))
  image = lax.optimization_barrier(image)  # in memory before it is read, or each reader would compute it again
  (high, across), (sh, sw), (h, w, _) = kernel.shape[:2], strides, image.shape
  return [image[i:h - high + i + 1:sh, j:w - across + j + 1:sw] for i in range(high) for j in range(across)]


def _taps(x, kernel, strides, edges):
  weights = kernel.astype(jnp.float32).reshape(-1, 1, 1, x.shape[-1])

  def one(image):  # (H, W, C) -> (H', W', C)
    windows = _windows(image, edges, kernel, strides)
    return functools.reduce(operator.add, map(operator.mul, windows, weights)).astype(x.dtype)
  return lax.map(one, x)


def _gradients(x, kernel, g, strides, pads):  # two loops: of a frozen kernel or input the compiler drops one
  ones, edges = jnp.ones((g.shape[1] * g.shape[2],)), [(*pad, 0) for pad in pads]

  def add(total, pair):
    slope = pair[1].astype(jnp.float32)
    # A product with ones sums faster than the library's sum over the leading axes.
    sums = [ones @ (part * slope).reshape(ones.size, -1) for part in _windows(pair[0], edges, kernel, strides)]
    return total + jnp.stack(sums), None
  total, _ = lax.scan(add, jnp.zeros((kernel.size // x.shape[-1], x.shape[-1])), (x, g))
  return (_taps(g, kernel[::-1, ::-1], (1, 1), input_gradient_edges(x, kernel, g, strides, pads)),
          total.reshape(kernel.shape).astype(kernel.dtype))


def _forward(x, kernel, strides, pads):
  return _taps(x, kernel, strides, [(*pad, 0) for pad in pads])


_depthwise = lowering(_forward, _gradients, _library)
