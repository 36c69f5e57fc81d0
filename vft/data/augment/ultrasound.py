"""What an ultrasound scanner adds: speckle, and the gain that its operator sets."""
from typing import Any

import jax
import jax.numpy as jnp

SLIDERS = 8  # of the time-gain compensation on a usual console


def speckle(key: jax.Array, clip: Any, strength: float) -> jax.Array:
  """Multiplicative noise of a deviation of 0 to `strength`, in grains of 2 pixels, the same in all frames and colours.

  Speckle is a fixed pattern of interference: while nothing moves it stands still, unlike the noise of a camera.
  """
  field, amount = jax.random.split(key)
  _, h, w, _ = clip.shape
  grains = jax.image.resize(jax.random.normal(field, ((h + 1) // 2, (w + 1) // 2)), (h, w), "linear")
  grains = grains / grains.std()  # interpolation has made them fainter
  deviation = jax.random.uniform(amount, (), minval=0.0, maxval=strength)
  return clip * (1 + deviation * grains[None, :, :, None])


def gain(key: jax.Array, clip: Any, strength: float) -> jax.Array:
  """All pixels times one factor of 1 - `strength` to 1 + `strength`."""
  return clip * (1 + jax.random.uniform(key, (), minval=-strength, maxval=strength))


def tgc(key: jax.Array, clip: Any, strength: float) -> jax.Array:
  """Time-gain compensation: a factor of 1 - `strength` to 1 + `strength` that changes with depth, from top to bottom.

  Depth is the row; in a sector image that is only so along its axis.
  """
  h = clip.shape[1]
  sliders = jax.random.uniform(key, (SLIDERS,), minval=-strength, maxval=strength)
  curve = jnp.interp(jnp.linspace(0.0, SLIDERS - 1, h), jnp.arange(SLIDERS), sliders)
  return clip * (1 + curve[None, :, None, None])
