"""3-D convolution. I3D, 8 x 16 x 112 x 112 float32, two CPU cores, with max_pool3d: 0.165 -> 0.068 s a clip."""
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

DIMENSIONS = ("NDHWC", "DHWIO", "NDHWC")
SMALL = 5e8  # products a clip; below this little is gained, and the library compiles sooner


def conv3d(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, T, H, W, C), kernel (t, h, w, C, D) -> (B, T', H', W', D), as `lax.conv_general_dilated`, for `nn.Conv`.

  On a CPU, in float32, where it is large: one matrix product per output frame. The stem takes a third of its time.
  """
  if isinstance(padding, str):
    padding = lax.padtype_to_pads(x.shape[1:4], kernel.shape[:3], strides, padding)
  pads = tuple((before, after) for before, after in padding)
  small = math.prod(_sizes(x, kernel, strides, pads)) * kernel.size < SMALL
  if small or x.dtype != jnp.float32 or max(kernel.shape[:3]) == 1:
    return lax.conv_general_dilated(x, kernel, tuple(strides), pads, **library)
  return _conv3d(x, kernel, tuple(strides), pads)


def _sizes(x, kernel, strides, pads) -> tuple[int, ...]:
  """(T', H', W')."""
  return tuple((n + sum(pad) - k) // s + 1
               for n, k, s, pad in zip(x.shape[1:4], kernel.shape[:3], strides, pads, strict=True))


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def _conv3d(x, kernel, strides, pads):
  return lax.platform_dependent(x, kernel, cpu=functools.partial(_conv3d_products, strides=strides, pads=pads),
                                default=functools.partial(_conv3d_library, strides=strides, pads=pads))


def _conv3d_library(x, kernel, strides, pads):
  return lax.conv_general_dilated(x, kernel, strides, pads, dimension_numbers=DIMENSIONS)


_conv3d.defvjp(lambda x, kernel, strides, pads: (_conv3d(x, kernel, strides, pads), (x, kernel)),
               lambda strides, pads, saved, g: jax.vjp(functools.partial(_conv3d_library, strides=strides, pads=pads),
                                                       *saved)[1](g))


def _conv3d_products(x, kernel, strides, pads):
  """One output frame of one clip at a time: its patches (H'W', t * h * w * C) times the kernel (t * h * w * C, D)."""
  (taps, high, across, c, width), (st, sh, sw) = kernel.shape, strides
  t, h, w = _sizes(x, kernel, strides, pads)
  steps = -(-across // sw)  # the kernel's width in strides, filled up with zeros
  kernel = jnp.pad(kernel, ((0, 0), (0, 0), (0, steps * sw - across), (0, 0), (0, 0))).reshape(-1, width)
  whole = ((t - 1) * st + taps, (h - 1) * sh + high, (w - 1 + steps) * sw)
  # What follows the last pixel is negative where the last pixels are in no window.
  around = [(before, size - n - before, 0) for n, (before, _), size in zip(x.shape[1:4], pads, whole, strict=True)]
  x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *around, (0, 0, 0)))

  def clip(frames):  # (whole T, whole H, whole W, C) -> (T', H'W', D)
    # Across, once per clip: a stride of pixels side by side is one piece of memory, even where C is 3.
    rows = frames.reshape(*whole[:2], w - 1 + steps, sw * c)
    rows = jnp.concatenate([rows[:, :, i:i + w] for i in range(steps)], axis=-1)  # (whole T, whole H, W', w * C)

    def frame(i):
      near = lax.dynamic_slice_in_dim(rows, i * st, taps)
      patches = [near[j, k:k + (h - 1) * sh + 1:sh] for j in range(taps) for k in range(high)]
      return jnp.concatenate(patches, axis=-1).reshape(h * w, -1) @ kernel

    return lax.map(frame, jnp.arange(t))

  return lax.map(clip, x).reshape(x.shape[0], t, h, w, width)
