"""Augmentation on the device by dm-pix: one key per clip, the same transform for all its frames."""
from typing import Any, NamedTuple

import dm_pix as pix
import jax
import jax.numpy as jnp


class Augment(NamedTuple):
  """What `augment_clip` draws from; the fields of config.augment that concern pixels. Hashable: it is static in jit."""
  crop: bool
  flip: float
  brightness: float
  contrast: float
  blur: float
  blur_sigma: float


def clip_keys(seed: int, rows: jax.Array, copies: jax.Array) -> jax.Array:
  """(B,) keys that depend on the clip and its copy alone, not on its place in a batch or on the device."""
  base = jax.random.key(seed)
  return jax.vmap(lambda row, copy: jax.random.fold_in(jax.random.fold_in(base, row), copy))(rows, copies)


def augment_clip(key: jax.Array, clip: Any, size: int, how: Augment) -> jax.Array:
  """(T, R, R, 3) in 0..1 -> (T, size, size, 3) in 0..1."""
  crop, flip, light, contrast, blur = jax.random.split(key, 5)
  clip = pix.random_crop(crop, clip, (clip.shape[0], size, size, 3)) if how.crop else pix.center_crop(clip, size, size)
  clip = pix.random_flip_left_right(flip, clip, probability=how.flip)
  if how.brightness:
    clip = pix.random_brightness(light, clip, how.brightness)
  if how.contrast:
    clip = pix.random_contrast(contrast, clip, 1 - how.contrast, 1 + how.contrast)
  if how.blur:
    clip = _random_blur(blur, clip, how)
  return jnp.clip(clip, 0.0, 1.0)


def _random_blur(key: jax.Array, clip: jax.Array, how: Augment) -> jax.Array:
  draw, width = jax.random.split(key)
  sigma = jax.random.uniform(width, (), minval=0.1, maxval=max(how.blur_sigma, 0.1))
  reach = max(round(3 * how.blur_sigma), 1)
  edged = jnp.pad(clip, ((0, 0), (reach, reach), (reach, reach), (0, 0)), mode="edge")  # zeros would darken the border
  blurred = pix.gaussian_blur(edged, sigma, kernel_size=2 * reach + 1, padding="VALID")
  return jnp.where(jax.random.bernoulli(draw, how.blur), blurred, clip)


def augment(video: jax.Array, rows: jax.Array, copies: jax.Array, *, seed: int, size: int, how: Augment) -> jax.Array:
  """(B, T, R, R, 3) in 0..1 -> (B, T, size, size, 3)."""
  keys = clip_keys(seed, rows, copies)
  return jax.vmap(lambda key, clip: augment_clip(key, clip, size, how))(keys, video)
