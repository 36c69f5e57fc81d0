"""What an endoscope sees in surgery and endoscopy: smoke of the cautery, and light mirrored by wet tissue."""
from typing import Any

import jax
import jax.numpy as jnp

DENSITY = (0.1, 0.6)  # share of the light that comes from the smoke, at its thickest
SMOKE = (0.6, 0.9)  # its grey
RADIUS = (0.01, 0.04)  # of a highlight, in heights of the frame


def smoke(key: jax.Array, clip: Any, probability: float) -> jax.Array:
  """A veil of light grey, of uneven density, with that probability: x (1 - a) + grey a at every pixel."""
  draw, shape, most, shade = jax.random.split(key, 4)
  _, h, w, _ = clip.shape
  cloud = jnp.clip(jax.image.resize(jax.random.uniform(shape, (5, 5)), (h, w), "cubic"), 0.0, 1.0)
  density = jax.random.uniform(most, (), minval=DENSITY[0], maxval=DENSITY[1]) * cloud[None, :, :, None]
  grey = jax.random.uniform(shade, (), minval=SMOKE[0], maxval=SMOKE[1])
  return jnp.where(jax.random.bernoulli(draw, probability), clip * (1 - density) + grey * density, clip)


def specular(key: jax.Array, clip: Any, most: int) -> jax.Array:
  """Up to `most` white ellipses with soft edges (each is there or not), where a lamp is mirrored."""
  shown, centre, radius, angle = jax.random.split(key, 4)
  _, h, w, _ = clip.shape
  y, x = (jnp.broadcast_to(v, (most, h, w)) for v in (jnp.arange(h)[None, :, None] / h, jnp.arange(w)[None, None] / h))
  middle = jax.random.uniform(centre, (2, most, 1, 1)) * jnp.array([1.0, w / h]).reshape(2, 1, 1, 1)
  y, x = y - middle[0], x - middle[1]
  turn = jax.random.uniform(angle, (most, 1, 1), minval=0.0, maxval=jnp.pi)
  along, across = y * jnp.cos(turn) + x * jnp.sin(turn), x * jnp.cos(turn) - y * jnp.sin(turn)
  long, short = jax.random.uniform(radius, (2, most, 1, 1), minval=RADIUS[0], maxval=RADIUS[1])
  far = jnp.sqrt((along / long) ** 2 + (across / short) ** 2)
  light = jnp.clip(2 * (1.25 - far), 0.0, 1.0) * jax.random.bernoulli(shown, shape=(most, 1, 1))
  white = light.max(0)[None, :, :, None]
  return clip + white * (1 - clip)
