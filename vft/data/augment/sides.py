"""Labels that know left from right: where a clip was mirrored, its label is that of the other side."""
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from vft.data.augment.draws import clip_keys, stream
from vft.errors import ConfigError, did_you_mean


def flipped(rows: jax.Array, copies: jax.Array, *, seed: int, probability: float) -> jax.Array:
  """(B,) bool: which clips `augment` mirrors, also for features that were computed from them."""
  keys = clip_keys(seed, rows, copies)
  return jax.vmap(lambda key: jax.random.bernoulli(stream(key, "flip"), probability))(keys)


def make_table(classes: Sequence[str], pairs: Sequence[Sequence[str]]) -> tuple[int, ...]:
  """For each class the number of that which it becomes in a mirror. Raises ConfigError on pairs that do not fit."""
  table = list(range(len(classes)))
  for pair in pairs:
    for name in pair:
      if name not in classes:
        raise ConfigError(f"config.augment.flip_pairs names {name!r}{did_you_mean(name, list(classes))} "
                          f"The classes are {', '.join(classes)}.")
      if table[classes.index(name)] != classes.index(name):
        raise ConfigError(f"config.augment.flip_pairs names {name!r} twice; a class has one mirror image.")
    a, b = (classes.index(name) for name in pair)
    table[a], table[b] = b, a
  return tuple(table)


def swap(labels: jax.Array, mirrored: jax.Array, table: tuple[int, ...]) -> jax.Array:
  """Class numbers (B, ...) -> those of the mirrored clips (B,) swapped; below 0 (no label) they stay."""
  there = jnp.where(labels >= 0, jnp.array(table)[jnp.maximum(labels, 0)], labels)
  return jnp.where(mirrored.reshape(-1, *(1,) * (labels.ndim - 1)), there, labels)


def swap_columns(values: jax.Array, mirrored: jax.Array, table: tuple[int, ...]) -> jax.Array:
  """Values by class (B, ..., K), such as many labels at once -> the mirrored clips' (B,) with columns swapped."""
  return jnp.where(mirrored.reshape(-1, *(1,) * (values.ndim - 1)), values[..., jnp.array(table)], values)
