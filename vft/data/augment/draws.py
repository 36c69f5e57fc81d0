"""Keys of random numbers: each clip and each transform has its own, whatever else is switched on."""
import jax

# Append only: the place of a name is its number.
STREAMS = ("crop", "flip", "rotate", "brightness", "contrast", "saturation", "hue", "blur", "randaugment", "speckle",
           "gain", "tgc", "smoke", "specular", "erase")
MIX = 1 << 20  # apart from the key of dropout, which is folded with the step alone


def clip_keys(seed: int, rows: jax.Array, copies: jax.Array) -> jax.Array:
  """(B,) keys that depend on the clip and its copy alone, not on its place in a batch or on the device."""
  base = jax.random.key(seed)
  return jax.vmap(lambda row, copy: jax.random.fold_in(jax.random.fold_in(base, row), copy))(rows, copies)


def stream(key: jax.Array, name: str) -> jax.Array:
  """A clip's key of one transform: switching one on changes no other."""
  return jax.random.fold_in(key, STREAMS.index(name))
