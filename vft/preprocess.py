"""From decoded pixels to what a trunk was trained on."""
from collections.abc import Sequence
from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp


def to_float(video: jax.Array) -> jax.Array:
  """uint8 0..255 -> float32 0..1, any shape."""
  return video.astype(jnp.float32) / 255.0


def centre_crop(video: jax.Array, size: int) -> Any:
  """(B, T, R, R, 3) -> (B, T, size, size, 3)."""
  return jax.vmap(lambda clip: pix.center_crop(clip, size, size))(video)


def normalise(video: jax.Array, mean: Sequence[float], std: Sequence[float]) -> jax.Array:
  """(..., C) in 0..1 -> zero mean and unit deviation by the statistics that belong to the weights.

  >>> video = to_float(jnp.full((1, 1, 2, 2, 3), 255, jnp.uint8))
  >>> normalise(video, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)).max()
  Array(1., dtype=float32)
  """
  shape = (1,) * (video.ndim - 1) + (len(mean),)
  return (video - jnp.asarray(mean, video.dtype).reshape(shape)) / jnp.asarray(std, video.dtype).reshape(shape)
