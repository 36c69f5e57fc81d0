"""Saturation, hue and blur of a clip. Brightness and contrast come from dm-pix as they are."""
from typing import Any

import dm_pix as pix
import jax
import jax.numpy as jnp


def tint(saturation_key: jax.Array, hue_key: jax.Array, clip: Any, saturation: float, hue: float) -> Any:
  """Saturation times 1 - `saturation` to 1 + `saturation`, hue turned by at most the share `hue` of the circle."""
  clip = jnp.clip(clip, 0.0, 1.0)  # outside it hue has no meaning
  if saturation:
    clip = pix.random_saturation(saturation_key, clip, 1 - saturation, 1 + saturation)
  return pix.random_hue(hue_key, clip, hue) if hue else clip


def blur(key: jax.Array, clip: Any, probability: float, sigma: float) -> jax.Array:
  """A Gaussian of 0.1 to `sigma` pixels, with that probability.

  By one matrix per side: a convolution of 3 channels, as dm-pix has it, takes 7 times as long on a CPU.
  """
  draw, width = jax.random.split(key)
  drawn = jax.random.uniform(width, (), minval=0.1, maxval=max(sigma, 0.1))
  rows, columns = (_gaussian(side, drawn) for side in clip.shape[1:3])
  blurred = jnp.einsum("ph,thwc,qw->tpqc", rows, clip, columns)
  return jnp.where(jax.random.bernoulli(draw, probability), blurred, clip)


def _gaussian(side: int, sigma: jax.Array) -> jax.Array:
  """(side, side): weights of each pixel's neighbours; they add up to 1, at the edge too, so that it is not darkened."""
  apart = jnp.arange(side)[:, None] - jnp.arange(side)[None, :]
  weights = jnp.exp(-0.5 * (apart / sigma) ** 2)
  return weights / weights.sum(1, keepdims=True)
