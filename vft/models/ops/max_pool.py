"""3-D max pooling."""
import functools

import jax
from flax import linen as nn
from jax import lax


def max_pool3d(x: jax.Array, window: tuple[int, int, int], strides: tuple[int, int, int]) -> jax.Array:
  """Max pooling with SAME padding, (B, T, H, W, C) -> (B, T', H', W', C); on a CPU one axis after another."""
  return _max_pool3d(x, window, strides)  # pyright: ignore[reportReturnType]


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _max_pool3d(x, window, strides):
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


# The library's gradient; also, autodiff through `platform_dependent` would keep what every platform's branch needs.
_max_pool3d.defvjp(
    lambda x, window, strides: (_max_pool3d(x, window, strides), x),
    lambda window, strides, x, g: jax.vjp(functools.partial(_max_pool3d_library, window=window, strides=strides),
                                          x)[1](g))
