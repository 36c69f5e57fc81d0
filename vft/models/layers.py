"""Layers that several families share."""
import functools
import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops


def he_normal(key: jax.Array, shape: tuple[int, ...], dtype: jnp.dtype = jnp.float32) -> jax.Array:
  """Normal values of variance 2 / fan-in (arXiv:1502.01852) for a kernel (..., C, width).

  Drawn flat, in a few lengths only: XLA compiles a 5-D draw in 1 s and each new length in 0.13 s, for 57 kernels.
  """
  size = math.prod(shape)
  flat = jax.random.normal(key, (1 << (size - 1).bit_length(),), dtype)[:size]
  return flat.reshape(shape) * math.sqrt(2 * shape[-1] / size)


def in_eights(width: float) -> int:
  """A scaled width as EfficientNet's and X3D's published code round it: in eights, not more than a tenth below."""
  rounded = max(8, int(width + 4) // 8 * 8)
  return rounded + 8 if rounded < 0.9 * width else rounded


class Stored(nn.Module):
  """BatchNorm with its stored statistics, as the factor (D,) and the summand (D,) that it comes to."""
  epsilon: float
  use_scale: bool

  @nn.compact
  def __call__(self, width: int) -> tuple[jax.Array, jax.Array]:
    mean = self.variable("batch_stats", "mean", jnp.zeros, (width,)).value
    factor = jax.lax.rsqrt(self.variable("batch_stats", "var", jnp.ones, (width,)).value + self.epsilon)
    if self.use_scale:
      factor *= self.param("scale", nn.initializers.ones, (width,))
    return factor, self.param("bias", nn.initializers.zeros, (width,)) - mean * factor


def conv_bn(x: jax.Array, width: int, kernel: Sequence[int], strides: Sequence[int], *, bn: str, train: bool,
            padding: str | Sequence[tuple[int, int]] = "SAME", groups: int = 1, epsilon: float = 1e-5,
            use_scale: bool = True, names: tuple[str, str] = ("conv", "bn")) -> jax.Array:
  """Convolution without bias, then BatchNorm (arXiv:1502.03167): (B, ..., C) -> (B, ..., width).

  `bn`: "stored" uses the stored statistics; "batch", in training, those of the batch, and moves the stored ones;
  "estimate" sets the stored ones to those of the batch (for a random trunk, whose stored statistics mean nothing).

  Stored statistics scale the kernel instead of its output: the output is passed over once less, and is not kept for
  the gradient.
  """
  lowering = ops.conv if groups == 1 else ops.depthwise_conv
  conv = functools.partial(nn.Conv, width, kernel, strides, padding, feature_group_count=groups, use_bias=False,
                           dtype=x.dtype, kernel_init=he_normal, name=names[0])
  if bn == "stored" or (bn == "batch" and not train):
    factor, summand = Stored(epsilon, use_scale, name=names[1])(width)

    def row(values, beside):
      return values.astype(beside.dtype).reshape((1,) * (beside.ndim - 1) + (width,))

    def scaled(x, kernel, *args, **fields):
      return lowering(x, kernel * row(factor, kernel), *args, **fields)
    x = ops.product(conv(conv_general_dilated=scaled)(x))
    return x + row(summand, x)
  x = ops.product(conv(conv_general_dilated=lowering)(x))
  momentum = 0.0 if bn == "estimate" else 0.9  # the published 0.99 to 0.999 would need thousands of steps to move
  return nn.BatchNorm(momentum=momentum, use_running_average=False, epsilon=epsilon, use_scale=use_scale, dtype=x.dtype,
                      name=names[1])(x)


def padded(x: jax.Array, width: int, kernel: Sequence[int], strides: Sequence[int], bn: str, train: bool,
           names: tuple[str, str], groups: int = 1, epsilon: float = 1e-5) -> jax.Array:
  """`conv_bn` with torch's padding, k // 2 on both sides: SAME differs at stride 2 on even sizes."""
  return conv_bn(x, width, kernel, strides, padding=[(k // 2, k // 2) for k in kernel], groups=groups, bn=bn,
                 train=train, epsilon=epsilon, names=names)


def drop_path(rate: float, train: bool, x: jax.Array, name: str = "drop_path") -> jax.Array:
  """Stochastic depth (arXiv:1603.09382): in training the branch x (B, ...) is left out of a clip at this rate.

  What stays is divided by 1 - rate; needs a "dropout" key. Models that see each frame by itself drop it for a frame.
  Inside a compact method only.
  """
  return nn.Dropout(rate, broadcast_dims=tuple(range(1, x.ndim)), deterministic=not train, name=name)(x)


class ConvUnit(nn.Module):
  """3-D convolution without bias, BatchNorm without scale, ReLU: (B, T, H, W, C) -> (B, T', H', W', D)."""
  width: int
  kernel: tuple[int, int, int] = (1, 1, 1)
  strides: tuple[int, int, int] = (1, 1, 1)
  bn: str = "stored"

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    return nn.relu(conv_bn(x, self.width, self.kernel, self.strides, bn=self.bn, train=train, epsilon=1e-3,
                           use_scale=False))
