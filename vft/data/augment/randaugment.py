"""RandAugment (arXiv:1909.13719): `ops` transforms drawn for each clip, all at one magnitude of 0 to 10.

The list is the paper's without Equalize, whose histogram is slow on accelerators. Ranges at magnitude 10 as in the
published code: shear 0.3, shift 150 / 331 of the side, turn 30 degrees, factor 1 +- 0.9, posterise to 4 bits.
Magnitude 0 changes nothing, except by autocontrast, which has no magnitude.
"""
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

MOVES = ("rotate", "shear_x", "shear_y", "translate_x", "translate_y")
COLOURS = ("identity", "autocontrast", "brightness", "contrast", "colour", "sharpness", "solarize", "posterize")
OPS = (*COLOURS, *MOVES)
SHEAR, SHIFT, TURN, FACTOR, BITS = 0.3, 150 / 331, math.radians(30), 0.9, 4
LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the published code


class Drawn(NamedTuple):
  """For each of n ops in turn: its place in OPS, (n,) int32, and its level, (n,) in -1..1."""
  op: jax.Array
  level: jax.Array


def draw(key: jax.Array, ops: int, magnitude: float) -> Drawn:
  """With replacement, as in the paper; either sign is as likely."""
  which, sign = jax.random.split(key)
  return Drawn(jax.random.randint(which, (ops,), 0, len(OPS)),
               magnitude / 10 * jnp.where(jax.random.bernoulli(sign, shape=(ops,)), 1.0, -1.0))


def matrix(drawn: Drawn) -> jax.Array:
  """(3, 3) for `geometry.warp`: all that moves pixels, put together so that they are interpolated once."""
  whole = jnp.eye(3)
  for op, level in zip(drawn.op, drawn.level, strict=True):
    whole = whole @ _move(op, level)
  return whole


def _move(op: jax.Array, level: jax.Array) -> jax.Array:
  """The map of one op; the identity for those that change colours. Units: half heights from the centre."""
  def one(name: str) -> jax.Array:
    return (op == OPS.index(name)) * level
  angle = TURN * one("rotate")
  turn = jnp.stack([jnp.cos(angle), -jnp.sin(angle), jnp.sin(angle), jnp.cos(angle)]).reshape(2, 2)
  slant = jnp.stack([jnp.zeros(()), SHEAR * one("shear_y"), SHEAR * one("shear_x"), jnp.zeros(())]).reshape(2, 2)
  shift = 2 * SHIFT * jnp.stack([one("translate_y"), one("translate_x")])
  return jnp.eye(3).at[:2, :2].set(turn + slant).at[:2, 2].set(shift)


def colours(clip: Any, drawn: Drawn) -> Any:
  """(T, H, W, 3) -> the same after the ops that change colours, in their turn; statistics are the whole clip's."""
  branches: list[Callable[..., Any]] = [_BY_NAME[name] for name in COLOURS]
  for op, level in zip(drawn.op, drawn.level, strict=True):
    changed = jax.lax.switch(jnp.where(op < len(COLOURS), op, 0), branches, jnp.clip(clip, 0.0, 1.0), level)
    clip = jnp.clip(changed, 0.0, 1.0)
  return clip


def _grey(clip: Any) -> jax.Array:
  return (clip * jnp.array(LUMA)[None, None, None]).sum(-1, keepdims=True)


def _away_from(plain: Callable[[Any], Any]) -> Callable[[Any, jax.Array], jax.Array]:
  """Blends with what `plain` gives: a factor below 1 goes towards it, above 1 away from it."""
  def change(clip: Any, level: jax.Array) -> jax.Array:
    return clip + FACTOR * level * (clip - plain(clip))
  return change


def _smooth(clip: Any) -> jax.Array:
  """A 3 x 3 mean whose middle counts five times."""
  edged = jnp.pad(clip, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
  rows = edged[:, :-2] + edged[:, 1:-1] + edged[:, 2:]
  return (rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:] + 4 * clip) / 13


def _autocontrast(clip: Any, level: jax.Array) -> jax.Array:
  low, high = clip.min((0, 1, 2), keepdims=True), clip.max((0, 1, 2), keepdims=True)
  return jnp.where(high > low, (clip - low) / jnp.maximum(high - low, 1e-6), clip)


def _posterize(clip: Any, level: jax.Array) -> jax.Array:
  step = 2.0 ** jnp.round(BITS * jnp.abs(level))
  return jnp.where(step > 1, jnp.floor(clip * 255 / step) * step / 255, clip)


_BY_NAME = {
    "identity": lambda clip, level: clip,
    "autocontrast": _autocontrast,
    "brightness": _away_from(jnp.zeros_like),
    "contrast": _away_from(lambda clip: _grey(clip).mean((0, 1, 2), keepdims=True)),
    "colour": _away_from(_grey),
    "sharpness": _away_from(_smooth),
    "solarize": lambda clip, level: jnp.where(clip > 1 - jnp.abs(level), 1 - clip, clip),
    "posterize": _posterize,
}
