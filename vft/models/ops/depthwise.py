"""Depthwise convolution of images: shifted multiply-adds, one image at a time, so that it stays in the cache.

With the library's on a CPU all of EfficientNet-Lite0 takes 6 times as long, its training step 8 times
(tests/benchmarks/README.md).
"""
import functools
import operator
from collections.abc import Iterable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NHWC", "HWIO", "NHWC")
Pair = tuple[int, int]
Pads = tuple[Pair, Pair]


def depthwise_conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, H, W, C), kernel (h, w, 1, C) -> (B, H', W', C), as `lax.conv_general_dilated`, for `nn.Conv`.

  On a CPU sums are in float32, also in bfloat16. What is no such convolution goes to the library, on every device.
  """
  dilated = any(max(library.get(name) or (1,)) > 1 for name in ("lhs_dilation", "rhs_dilation"))
  if x.ndim != 4 or kernel.shape[2:] != (1, x.shape[-1]) or dilated or max(strides) > min(kernel.shape[:2]):
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, padding)
  (top, bottom), (left, right) = padding
  return _depthwise(x, kernel, tuple(strides), ((top, bottom), (left, right)))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _depthwise(x, kernel, strides, pads):
  return lax.platform_dependent(x, kernel, cpu=functools.partial(_taps, strides=strides, pads=pads),
                                default=functools.partial(_library, strides=strides, pads=pads))


def _library(x, kernel, strides, pads):
  return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS,
                                  feature_group_count=x.shape[-1])


def _backward(strides, pads, saved, g):
  def by_library(x, kernel, g):
    return jax.vjp(functools.partial(_library, strides=strides, pads=pads), x, kernel)[1](g)

  def by_taps(x, kernel, g):  # two loops: of a frozen kernel or input the compiler drops the one not needed
    return _input_gradient(x, kernel, g, strides, pads), _kernel_gradient(x, kernel, g, strides, pads)

  return lax.platform_dependent(*saved, g, cpu=by_taps, default=by_library)


_depthwise.defvjp(lambda x, kernel, strides, pads: (_depthwise(x, kernel, strides, pads), (x, kernel)), _backward)


def _padded(image: jax.Array, pads: Pads) -> jax.Array:
  """Float32; in memory before it is read, or each of its readers would compute it again."""
  image = lax.pad(image.astype(jnp.float32), jnp.float32(0), ((*pads[0], 0), (*pads[1], 0), (0, 0, 0)))
  return lax.optimization_barrier(image)


def _windows(image: jax.Array, kernel: Pair, strides: Pair, outputs: Pair):
  """Of a padded image (H, W, C), for each tap (i, j): the (H', W', C) that it multiplies."""
  (h, w), (sh, sw) = outputs, strides
  for i in range(kernel[0]):
    for j in range(kernel[1]):
      yield (i, j), image[i:i + (h - 1) * sh + 1:sh, j:j + (w - 1) * sw + 1:sw]


def _add(parts: Iterable[jax.Array]) -> jax.Array:
  return functools.reduce(operator.add, parts)


def _taps(x: jax.Array, kernel: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
  size = kernel.shape[0], kernel.shape[1]
  h, w = ((n + sum(p) - k) // s + 1 for n, p, k, s in zip(x.shape[1:3], pads, size, strides, strict=True))
  weights = kernel.astype(jnp.float32)  # weights[i, j] is (1, C)

  def one(image):  # (H, W, C) -> (H', W', C)
    windows = _windows(_padded(image, pads), size, strides, (h, w))
    return _add(part * weights[i, j][None] for (i, j), part in windows).astype(x.dtype)

  return lax.map(one, x)


def _kernel_gradient(x: jax.Array, kernel: jax.Array, g: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
  size, (h, w, c) = (kernel.shape[0], kernel.shape[1]), g.shape[1:]

  def add(total, pair):
    image, slope = _padded(pair[0], pads), pair[1].astype(jnp.float32)
    # A product with ones sums faster than the library's sum over the leading axes.
    sums = [jnp.ones((h * w,)) @ (part * slope).reshape(h * w, c)
            for _, part in _windows(image, size, strides, (h, w))]
    return total + jnp.stack(sums), None

  total, _ = lax.scan(add, jnp.zeros((size[0] * size[1], c)), (x, g))
  return total.reshape(kernel.shape).astype(kernel.dtype)


def _input_gradient(x: jax.Array, kernel: jax.Array, g: jax.Array, strides: Pair, pads: Pads) -> jax.Array:
  """Row s q + r of the input takes tap i of output row q + (r + pad - i) / s, where that is a whole number."""
  (sh, sw), weights = strides, kernel.astype(jnp.float32)
  taps, edges, sizes = [], [], []
  for axis in range(2):
    n, m, s, before = x.shape[axis + 1], g.shape[axis + 1], strides[axis], pads[axis][0]
    shifts = [[(i, (r + before - i) // s) for i in range(kernel.shape[axis]) if (r + before - i) % s == 0]
              for r in range(s)]
    every = [shift for phase in shifts for _, shift in phase]
    low = max(0, -min(every))
    taps.append([[(i, shift + low) for i, shift in phase] for phase in shifts])
    sizes.append(-(-n // s))  # of a phase: every s-th row or column
    edges.append((low, sizes[-1] + max(every) - m))
  high, across = sizes

  def one(slope):  # (H', W', C) -> (H, W, C)
    slope = _padded(slope, (edges[0], edges[1]))
    phases = [[_add(slope[a:a + high, b:b + across] * weights[i, j][None] for i, a in rows for j, b in columns)
               for columns in taps[1]] for rows in taps[0]]
    if sh == sw == 1:
      return phases[0][0].astype(x.dtype)
    image = jnp.stack([jnp.stack(row, axis=2) for row in phases], axis=1)  # (high, sh, across, sw, C)
    return image.reshape(high * sh, across * sw, -1)[:x.shape[1], :x.shape[2]].astype(x.dtype)

  return lax.map(one, g)
