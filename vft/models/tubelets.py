"""The first layer of video transformers: a video is cut into tubelets (t x h x w pixels), each becomes one token."""
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.errors import ConfigError


def cut(video: jax.Array, size: tuple[int, ...]) -> jax.Array:
  """Video (B, T, H, W, C), size (t, h, w) -> (B, T', H', W', t * h * w * C), in the order of a kernel (t, h, w, C, D).

  Frames and pixels at the end that fill no tubelet are left out, as in a convolution with padding "VALID".
  """
  (b, *_, c), (t, h, w) = video.shape, size
  grid = tuple(n // k for n, k in zip(video.shape[1:4], size, strict=True))
  if not all(grid):
    raise ConfigError(f"A clip of {video.shape[1:4]} (frames, height, width) has no tubelet of {tuple(size)}: raise "
                      "data.num_frames or data.size.")
  x = video[:, :grid[0] * t, :grid[1] * h, :grid[2] * w].reshape(b, grid[0], t, grid[1], h, grid[2], w, c)
  return x.transpose(0, 1, 3, 5, 2, 4, 6, 7).reshape(b, *grid, t * h * w * c)


class TubeletEmbed(nn.Module):
  """What embeddings with one class token for the clip share; a family's is a subclass with a compact `__call__`.

  `size` is that of a tubelet, (t, h, w), or (h, w) where each frame is cut by itself.
  """
  width: int
  size: tuple[int, ...]
  dtype: jnp.dtype = jnp.float32

  def project(self, video: jax.Array) -> jax.Array:
    """Video (B, T, H, W, C) -> (B, T', H', W', D)."""
    shape = (*self.size, video.shape[-1], self.width)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), shape)
    bias = self.param("bias", nn.initializers.zeros, (self.width,))
    x = cut(video.astype(self.dtype), (1, *self.size)[-3:])
    x = x @ kernel.reshape(math.prod(shape[:-1]), self.width).astype(self.dtype)
    return x + bias.astype(self.dtype).reshape(1, 1, 1, 1, -1)

  def near_zero(self, name: str, *shape: int) -> jax.Array:
    """A parameter (..., D) of small random values."""
    return self.param(name, nn.initializers.truncated_normal(0.02), (*shape, self.width)).astype(self.dtype)

  def with_class_token(self, x: jax.Array) -> jax.Array:
    """(B, T', H', W', D) -> (B, 1 + T'H'W', D); the class token's position is a parameter of its own."""
    b, t, h, w, d = x.shape
    token = (self.near_zero("cls_token") + self.near_zero("cls_position")).reshape(1, 1, d)
    return jnp.concatenate([jnp.broadcast_to(token, (b, 1, d)), x.reshape(b, t * h * w, d)], axis=1)
