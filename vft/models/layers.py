"""Layers that several families share."""
import math

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


def batch_norm(bn: str, train: bool, *, epsilon: float = 1e-5, use_scale: bool = True, dtype: jnp.dtype = jnp.float32,
               name: str = "bn") -> nn.BatchNorm:
  """BatchNorm (arXiv:1502.03167) over all axes but the last.

  `bn`: "stored" uses the stored statistics; "batch", in training, those of the batch, and moves the stored ones;
  "estimate" sets the stored ones to those of the batch (for a random trunk, whose stored statistics mean nothing).
  """
  momentum = 0.0 if bn == "estimate" else 0.9  # the published 0.99 to 0.999 would need thousands of steps to move
  stored = bn == "stored" or (bn == "batch" and not train)
  return nn.BatchNorm(use_running_average=stored, momentum=momentum, epsilon=epsilon, use_scale=use_scale, dtype=dtype,
                      name=name)


class ConvUnit(nn.Module):
  """3-D convolution without bias, BatchNorm without scale, ReLU: (B, T, H, W, C) -> (B, T', H', W', D)."""
  width: int
  kernel: tuple[int, int, int] = (1, 1, 1)
  strides: tuple[int, int, int] = (1, 1, 1)
  bn: str = "stored"
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.Conv(self.width, self.kernel, strides=self.strides, padding="SAME", use_bias=False, dtype=self.dtype,
                kernel_init=he_normal, conv_general_dilated=ops.conv3d, name="conv")(x)
    return nn.relu(batch_norm(self.bn, train, epsilon=1e-3, use_scale=False, dtype=self.dtype)(x))
