"""Augmentation on the device: one draw per clip from (seed, row, copy), the same transform for all its frames.

`augment` changes pixels, `sides` the labels of mirrored clips, `mix` blends the clips of a batch.
"""
from typing import Any, NamedTuple

import dm_pix as pix
import jax
import jax.numpy as jnp

from vft.data.augment import colour, endoscopy, geometry, randaugment, ultrasound
from vft.data.augment.draws import clip_keys, stream


class Augment(NamedTuple):
  """The fields of config.augment that `augment_clip` draws from, under their names. Hashable: it is static in jit."""
  crop: bool
  scale: tuple[float, ...]
  aspect: tuple[float, ...]
  rotate: float
  flip: float
  brightness: float
  contrast: float
  saturation: float
  hue: float
  blur: float
  blur_sigma: float
  randaugment: int
  magnitude: float
  speckle: float
  gain: float
  tgc: float
  smoke: float
  specular: int
  erase: float
  erase_area: tuple[float, ...]


def make(config: Any) -> Augment | None:
  """`config.augment` -> what to draw from; None where augmentation is off."""
  return Augment(**{name: config[name] for name in Augment._fields}) if config.enabled else None


def augment(video: jax.Array, rows: jax.Array, copies: jax.Array, *, seed: int, size: int, how: Augment) -> jax.Array:
  """(B, T, R, R, 3) in 0..1 -> (B, T, size, size, 3) in 0..1."""
  keys = clip_keys(seed, rows, copies)
  return jax.vmap(lambda key, clip: augment_clip(key, clip, size, how))(keys, video)


def augment_clip(key: jax.Array, clip: Any, size: int, how: Augment) -> jax.Array:
  """(T, R, R, 3) in 0..1 -> (T, size, size, 3) in 0..1. What is 0 in `how` costs nothing."""
  ops = randaugment.draw(stream(key, "randaugment"), how.randaugment, how.magnitude)
  clip = _place(key, clip, size, how, ops)
  clip = _light(key, clip, how)
  clip = jnp.clip(randaugment.colours(clip, ops), 0.0, 1.0)
  for name, change in (("speckle", ultrasound.speckle), ("gain", ultrasound.gain), ("tgc", ultrasound.tgc),
                       ("smoke", endoscopy.smoke), ("specular", endoscopy.specular)):
    strength = getattr(how, name)
    if strength:
      clip = jnp.clip(change(stream(key, name), clip, strength), 0.0, 1.0)
  if how.erase:
    clip = geometry.erase(stream(key, "erase"), clip, how.erase, how.erase_area)
  return clip


def _place(key: jax.Array, clip: Any, size: int, how: Augment, ops: randaugment.Drawn) -> Any:
  """All that moves pixels, in one interpolation each for turning and scaling: (T, R, R, 3) -> (T, size, size, 3)."""
  if how.rotate or how.randaugment:  # before the crop: most of what turns into view is real, not the repeated edge
    turn = geometry.rotation(stream(key, "rotate"), how.rotate)
    clip = geometry.warp(clip, turn @ randaugment.matrix(ops))
  if not how.crop:
    clip = pix.center_crop(clip, size, size)
  elif how.scale:
    clip = geometry.resized_crop(stream(key, "crop"), clip, size, how.scale, how.aspect)
  else:
    clip = pix.random_crop(stream(key, "crop"), clip, (clip.shape[0], size, size, clip.shape[-1]))
  return geometry.flip(stream(key, "flip"), clip, how.flip) if how.flip else clip


def _light(key: jax.Array, clip: Any, how: Augment) -> Any:
  """Brightness, contrast, saturation, hue and blur; may leave 0..1."""
  if how.brightness:
    clip = pix.random_brightness(stream(key, "brightness"), clip, how.brightness)
  if how.contrast:
    clip = pix.random_contrast(stream(key, "contrast"), clip, 1 - how.contrast, 1 + how.contrast)
  if how.saturation or how.hue:
    clip = colour.tint(stream(key, "saturation"), stream(key, "hue"), clip, how.saturation, how.hue)
  return colour.blur(stream(key, "blur"), clip, how.blur, how.blur_sigma) if how.blur else clip
