"""What a head is, and what it keeps of the trunk's tokens: the part that can be computed once and stored."""
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.errors import ConfigError

KINDS = ("linear", "mlp", "attentive", "transformer", "tcn")
POOLS = ("mean", "cls", "cls_mean", "flatten", "windows")
TEMPORAL = ("mean", "max", "attention", "logits")
TAKEN = ("norm", "pooler", "transformer", "tcn", "attention")  # names inside a head, so no task can have them


class Spec(NamedTuple):
  """What a head is.

  kind: what stands on the pooled tokens. linear | mlp: dense layers; transformer | tcn: over the frames' vectors, then
    one dense layer; attentive: a probe over all tokens (arXiv:2506.09985), which needs neither `pool` nor `temporal`.
  pool: the tokens of a frame -> its vector. mean; cls: the class token, of a frame or of the clip; cls_mean: both side
    by side; flatten; windows: averages of 2 x 7 x 7, as I3D's classifier (arXiv:1705.07750).
  temporal: vectors of frames -> one of the clip, for linear and mlp. mean; max; attention: weights from a small network
    (arXiv:1802.04712); logits: each frame is classified by itself and the logits are averaged.
  hidden: widths of the mlp's layers; the first is the width of the tcn.
  depth: blocks of attentive, transformer and tcn.
  norm: epsilon of a LayerNorm on the pooled vectors; 0 = none.
  unit: what gets an answer. clip; video: every moment of a procedure; patient: all clips together. But for clips, the
    head stands on one vector per clip, and `temporal` is over the clips of a patient.
  stages: of the tcn over a procedure.
  kinds: (task, kind) of tasks that are not of one label, see vft.tasks.
  """
  kind: str = "linear"
  pool: str = "mean"
  temporal: str = "mean"
  hidden: tuple[int, ...] = (256, 128)
  dropout: float = 0.0
  depth: int = 1
  norm: float = 0.0
  unit: str = "clip"
  stages: int = 1
  kinds: tuple[tuple[str, str], ...] = ()

  @property
  def keeps(self) -> str:
    """Names what `pool` returns: heads that keep the same can share cached features."""
    if self.unit != "clip":
      return f"{self.pool}/{'max' if self.temporal == 'max' else 'mean'}"
    if self.kind == "attentive":
      return "tokens"
    whole = self.kind in ("linear", "mlp") and self.temporal in ("mean", "max")
    return f"{self.pool}/{self.temporal}" if whole else f"{self.pool}/frames"


def pool(spec: Spec, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
  """Tokens (B, N, D) of a grid (T', H', W'), prefix tokens first -> the (B, M, D') that the head needs.

  Their grid is (M, 1, 1); with it they pass through unchanged, so a head gives the same logits on kept ones.
  """
  tokens = tokens.astype(jnp.float32)
  if spec.keeps == "tokens":
    return tokens
  vectors = frames(spec.pool, tokens, grid)  # (B, T', D')
  if spec.keeps.endswith("/mean"):
    return vectors.mean(axis=1, keepdims=True)
  return vectors.max(axis=1, keepdims=True) if spec.keeps.endswith("/max") else vectors


def frames(how: str, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
  """Tokens (B, N, D) of a grid (T', H', W') -> a vector per frame (B, T', D'), as Spec.pool says."""
  (b, n, d), (t, h, w) = tokens.shape, grid
  prefix, patches = jnp.split(tokens, [n - t * h * w], axis=1)
  if not prefix.shape[1] and h * w == 1:
    return patches  # one token a frame, or pooled before
  if how.startswith("cls"):
    if not prefix.shape[1]:
      raise ConfigError(f"model.pool is {how!r}, but this trunk has no class token: use --config.model.pool=mean.")
    if how == "cls":
      return prefix
    # One class token of the clip is said again beside every frame.
    prefix = jnp.broadcast_to(prefix, (b, t, d))
    return jnp.concatenate([prefix, patches.reshape(b, t, h * w, d).mean(axis=2)], axis=-1)
  if how == "flatten":
    return patches.reshape(b, t, h * w * d)
  if how == "windows":
    window = tuple(min(size, full) for size, full in zip(grid, (2, 7, 7), strict=True))
    # The classifier is linear: the mean over time may come before it as well as after it.
    return nn.avg_pool(patches.reshape(b, *grid, d), window, padding="VALID").mean(axis=(2, 3))
  return patches.reshape(b, t, h * w, d).mean(axis=2)
