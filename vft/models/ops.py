"""Lowerings that depend on the device: on a CPU some of XLA's own are far from what the processor can do.

Each computes what the library computes (float32 sums in another order), keeps the library's gradient, and leaves GPUs
and TPUs to the library's kernels. Measured on two CPU cores, I3D at 8 x 16 x 112 x 112: see `conv3d` and `max_pool3d`.
"""
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

DIMENSIONS = ("NDHWC", "DHWIO", "NDHWC")
SMALL = 2e7  # products a clip; below this the library's kernel is as quick, and it compiles sooner


def conv3d(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, T, H, W, C), kernel (t, h, w, C, D) -> (B, T', H', W', D), as `lax.conv_general_dilated`, for `nn.Conv`.

  On a CPU, in float32: one matrix product per frame and temporal tap, instead of XLA's convolution.
  """
  outputs = math.prod(-(-n // s) for n, s in zip(x.shape[1:4], strides, strict=True))
  if padding != "SAME" or x.dtype != jnp.float32 or max(kernel.shape[:3]) == 1 or outputs * kernel.size < SMALL:
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  return _conv3d(x, kernel, tuple(strides))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def _conv3d(x, kernel, strides):
  return lax.platform_dependent(x, kernel, cpu=functools.partial(_conv3d_products, strides=strides),
                                default=functools.partial(_conv3d_library, strides=strides))


def _conv3d_library(x, kernel, strides):
  return lax.conv_general_dilated(x, kernel, strides, "SAME", dimension_numbers=DIMENSIONS)


_conv3d.defvjp(lambda x, kernel, strides: (_conv3d(x, kernel, strides), (x, kernel)),
               lambda strides, saved, g: jax.vjp(functools.partial(_conv3d_library, strides=strides), *saved)[1](g))


def _conv3d_products(x, kernel, strides):
  """The patches of each frame once, (H'W', h * w * C), then one product per output frame and temporal tap."""
  (taps, high, across, c, width), (st, sh, sw) = kernel.shape, strides
  b, (t, h, w) = x.shape[0], (-(-n // s) for n, s in zip(x.shape[1:4], strides, strict=True))
  steps = -(-across // sw)  # the kernel's width in strides, filled up with zeros
  before = [max((m - 1) * s + k - n, 0) // 2
            for n, m, k, s in zip(x.shape[1:4], (t, h, w), kernel.shape[:3], strides, strict=True)]
  whole = ((t - 1) * st + taps, (h - 1) * sh + high, (w - 1 + steps) * sw)
  x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *((lo, m - n - lo, 0) for lo, m, n in
                                                       zip(before, whole, x.shape[1:4], strict=True)), (0, 0, 0)))
  kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, steps * sw - across), (0, 0), (0, 0))).reshape(taps, -1, width)

  def clip(frames):  # (whole T, whole H, whole W, C) -> (T', H'W', D)
    rows = frames.reshape(*whole[:2], w - 1 + steps, sw * c)
    rows = jnp.concatenate([rows[:, :, i:i + w] for i in range(steps)], axis=-1)
    rows = jnp.concatenate([rows[:, i:i + (h - 1) * sh + 1:sh] for i in range(high)], axis=-1)
    rows = rows.reshape(whole[0], h * w, -1)

    def frame(i):
      near = lax.dynamic_slice_in_dim(rows, i * st, taps)
      return sum(near[j] @ kernel[j] for j in range(taps))

    return lax.map(frame, jnp.arange(t))

  return lax.map(clip, x).reshape(b, t, h, w, width)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def max_pool3d(x: jax.Array, window: tuple[int, int, int], strides: tuple[int, int, int]) -> jax.Array:
  """Max pooling with SAME padding, (B, T, H, W, C) -> (B, T', H', W', C); on a CPU one axis after another."""
  return lax.platform_dependent(x, cpu=functools.partial(_max_pool3d_by_axis, window=window, strides=strides),
                                default=functools.partial(_max_pool3d_library, window=window, strides=strides))


def _max_pool3d_library(x, window, strides):
  return nn.max_pool(x, window, strides=strides, padding="SAME")


def _max_pool3d_by_axis(x, window, strides):
  for axis in (2, 1, 0):
    if window[axis] > 1 or strides[axis] > 1:
      x = _max_pool3d_library(x, *(tuple(n if i == axis else 1 for i, n in enumerate(sizes))
                                   for sizes in (window, strides)))
  return x


# The library's gradient: where values tie, as zeros do after a ReLU, pooling by axis would share it out differently.
max_pool3d.defvjp(
    lambda x, window, strides: (max_pool3d(x, window, strides), x),
    lambda window, strides, x, g: jax.vjp(functools.partial(_max_pool3d_library, window=window, strides=strides),
                                          x)[1](g))
