"""Mixup (arXiv:1710.09412) and cutmix (arXiv:1905.04899): each clip of a batch is blended with another one.

The other one of place i is that of i + B / 2: batches are shuffled already, a fixed distance moves less between
devices than a random one, and the copies of a clip (config.augment.repeats) stand side by side.
"""
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from vft.data.augment.geometry import inside_box


class Mix(NamedTuple):
  """Both are the alpha of a Beta(alpha, alpha) distribution; 0 = not used. With both, each clip gets either."""
  mixup: float
  cutmix: float


class Drawn(NamedTuple):
  """For each clip of a batch: its own share of its label, of its pixels outside the box (inside: none), and the box."""
  share: jax.Array  # (B,)
  blend: jax.Array  # (B,)
  box: jax.Array  # (B, 4) top, left, bottom, right in pixels


def make(config: Any) -> Mix | None:
  """`config.augment` -> what to mix; None where nothing is."""
  return Mix(config.mixup, config.cutmix) if config.enabled and (config.mixup or config.cutmix) else None


def draw(key: jax.Array, mask: jax.Array, size: int, how: Mix) -> Drawn:
  """For a batch with this mask (B,), of frames of `size` x `size`. A clip whose partner is masked stays as it is."""
  n = mask.shape[0]
  either, up, cut, middle = jax.random.split(key, 4)
  cuts = jax.random.bernoulli(either, 0.5 if how.mixup and how.cutmix else float(bool(how.cutmix)), (n,))
  cuts, alone = cuts & (how.cutmix > 0), ~partner(mask)
  blend = jnp.where(cuts | alone, 1.0, jax.random.beta(up, how.mixup or 1.0, how.mixup or 1.0, (n,)))
  side = size * jnp.sqrt(1 - jax.random.beta(cut, how.cutmix or 1.0, how.cutmix or 1.0, (n,)))
  centre = jax.random.uniform(middle, (n, 2)) * size
  low, high = (jnp.clip(jnp.round(centre + sign * side[:, None] / 2), 0, size) for sign in (-1, 1))
  box = jnp.where((cuts & ~alone)[:, None], jnp.concatenate([low, high], 1), 0.0)
  area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / size**2  # of the box within the frame
  return Drawn(blend * (1 - area), blend, box)


def partner(x: jax.Array) -> jax.Array:
  """(B, ...) -> what each clip is mixed with. Any loss mixes as share * loss(y) + (1 - share) * loss(partner(y))."""
  return jnp.roll(x, x.shape[0] // 2, axis=0)


def mix_video(drawn: Drawn, video: jax.Array) -> jax.Array:
  """(B, ..., H, W, C) -> the same; the box is the same in all frames."""
  h, w = video.shape[-3:-1]
  inside = jax.vmap(lambda box: inside_box(h, w, box))(drawn.box)
  own = jnp.where(inside, 0.0, drawn.blend[:, None, None])
  own = own.reshape(own.shape[0], *(1,) * (video.ndim - 4), h, w, 1)
  return video * own + partner(video) * (1 - own)
