"""Convolution with a kernel of one pixel, on a CPU as a matrix product.

EfficientNet-Lite0 with the library's takes 1.2 times as long, its training step 1.3 times (tests/benchmarks/README.md).
"""
from collections.abc import Sequence
from typing import Any

import jax
from jax import lax


def pointwise_conv(x: jax.Array, kernel: jax.Array, strides: Sequence[int], padding: Any, **library: Any) -> jax.Array:
  """x (B, H, W, C), kernel (1, 1, C, D) -> (B, H, W, D), as `lax.conv_general_dilated`, for `nn.Conv`.

  Other kernels, strides, paddings in numbers and groups go to the library, on every device.
  """
  if x.ndim != 4 or kernel.shape[:3] != (1, 1, x.shape[-1]) or max(strides) > 1 or not isinstance(padding, str):
    return lax.conv_general_dilated(x, kernel, tuple(strides), padding, **library)
  return _pointwise(x, kernel)


@jax.custom_vjp
def _pointwise(x, kernel):
  return lax.platform_dependent(x, kernel, cpu=_product, default=_library)


def _product(x, kernel):
  return x @ kernel[0, 0]


def _library(x, kernel):
  return lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def _backward(saved, g):
  def of(f):
    return lambda x, kernel, g: jax.vjp(f, x, kernel)[1](g)
  return lax.platform_dependent(*saved, g, cpu=of(_product), default=of(_library))


_pointwise.defvjp(lambda x, kernel: (_pointwise(x, kernel), (x, kernel)), _backward)
