"""What moves or hides pixels: crop-and-scale, rotation and other affine maps, mirroring, random erasing."""
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp


def resized_crop(key: jax.Array, clip: Any, size: int, scale: Sequence[float], aspect: Sequence[float]) -> jax.Array:
  """A random rectangle of the clip, (T, H, W, C), scaled to (T, size, size, C); arXiv:1409.4842, sec. 6.

  Args:
    scale: least and largest share of the area.
    aspect: least and largest width / height, drawn on a logarithmic scale. A side longer than the frame is cut to it.
  """
  t, h, w, c = clip.shape
  area, ratio, down, right = jax.random.split(key, 4)
  shape = _box(area, ratio, (h, w), scale, aspect)
  place = jnp.stack([jax.random.uniform(down), jax.random.uniform(right)]) * (jnp.array([h, w]) - shape)
  factor = size / shape
  return jax.image.scale_and_translate(clip, (t, size, size, c), (1, 2), factor, -place * factor, "linear")


def _box(area: jax.Array, ratio: jax.Array, frame: tuple[int, int], share: Sequence[float],
         aspect: Sequence[float]) -> jax.Array:
  """(height, width) in pixels, at most those of the frame."""
  pixels = jax.random.uniform(area, (), minval=share[0], maxval=share[1]) * frame[0] * frame[1]
  wide = jnp.exp(jax.random.uniform(ratio, (), minval=math.log(aspect[0]), maxval=math.log(aspect[1])))
  return jnp.minimum(jnp.sqrt(jnp.stack([pixels / wide, pixels * wide])), jnp.array(frame, jnp.float32))


def rotation(key: jax.Array, degrees: float) -> jax.Array:
  """(3, 3) map of a turn by at most `degrees` either way; the identity where that is 0."""
  angle = math.radians(degrees) * jax.random.uniform(key, (), minval=-1.0, maxval=1.0)
  cos, sin, zero, one = jnp.cos(angle), jnp.sin(angle), jnp.zeros(()), jnp.ones(())
  return jnp.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one]).reshape(3, 3)


def warp(clip: Any, matrix: jax.Array) -> jax.Array:
  """(T, H, W, C) seen through (3, 3): where the pixel (y, x), from the centre in half heights, is taken from.

  Bilinear; beyond the edge the edge is repeated, so that no black wedge appears. dm_pix.affine_transform needs 50
  times as long (measured: 335 against 6.5 ms a clip): this one looks up a row of T x C numbers per place.
  """
  t, h, w, c = clip.shape
  middle, unit = jnp.array([(h - 1) / 2, (w - 1) / 2]), h / 2
  grid = jnp.stack(jnp.meshgrid(jnp.arange(h), jnp.arange(w), indexing="ij"), -1).reshape(-1, 2)
  wanted = (grid - middle[None]) / unit
  source = (wanted @ matrix[:2, :2].T + matrix[None, :2, 2]) * unit + middle[None]
  source = jnp.clip(source, 0.0, jnp.array([[h - 1.0, w - 1.0]]))
  low = jnp.floor(source).astype(jnp.int32)
  high, part = jnp.minimum(low + 1, jnp.array([[h - 1, w - 1]])), source - low
  flat = clip.transpose(1, 2, 0, 3).reshape(h * w, t * c)
  down, right = part[:, :1], part[:, 1:]
  top = flat[low[:, 0] * w + low[:, 1]] * (1 - right) + flat[low[:, 0] * w + high[:, 1]] * right
  bottom = flat[high[:, 0] * w + low[:, 1]] * (1 - right) + flat[high[:, 0] * w + high[:, 1]] * right
  return (top * (1 - down) + bottom * down).reshape(h, w, t, c).transpose(2, 0, 1, 3)


def flip(key: jax.Array, clip: Any, probability: float) -> jax.Array:
  """Left and right mirrored, or not; `sides.flipped` tells which."""
  return jnp.where(jax.random.bernoulli(key, probability), clip[:, :, ::-1], clip)


def erase(key: jax.Array, clip: Any, probability: float, area: Sequence[float]) -> jax.Array:
  """Random erasing (arXiv:1708.04896, with random values): one box, the same and with the same noise in every frame.

  `area`: least and largest share of the frame; width / height is 0.3 to 1 / 0.3 as in the paper.
  """
  _, h, w, c = clip.shape
  draw, noise, size, ratio, down, right = jax.random.split(key, 6)
  shape = jnp.round(_box(size, ratio, (h, w), area, (0.3, 1 / 0.3)))
  top, left = (jnp.floor(jax.random.uniform(k) * (side - shape[i] + 1))
               for i, (k, side) in enumerate(((down, h), (right, w))))
  inside = inside_box(h, w, jnp.stack([top, left, top + shape[0], left + shape[1]]))
  erased = jnp.where(inside[None, :, :, None], jax.random.uniform(noise, (1, h, w, c)), clip)
  return jnp.where(jax.random.bernoulli(draw, probability), erased, clip)


def inside_box(height: int, width: int, box: jax.Array) -> jax.Array:
  """Box (top, left, bottom, right) in pixels -> (height, width) bool, true from top to before bottom."""
  rows, columns = jnp.arange(height), jnp.arange(width)
  down, across = (rows >= box[0]) & (rows < box[2]), (columns >= box[1]) & (columns < box[3])
  return down[:, None] & across[None, :]
