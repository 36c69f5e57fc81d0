"""Heads: tokens (B, N, D) -> {task: logits (B, K)}. A head first pools: what it needs of the trunk can be kept."""
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.errors import ConfigError
from vft.models import temporal

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
  """
  kind: str = "linear"
  pool: str = "mean"
  temporal: str = "mean"
  hidden: tuple[int, ...] = (256, 128)
  dropout: float = 0.0
  depth: int = 1
  norm: float = 0.0

  @property
  def keeps(self) -> str:
    """Names what `Head.pool` returns: heads that keep the same can share cached features."""
    if self.kind == "attentive":
      return "tokens"
    whole = self.kind in ("linear", "mlp") and self.temporal in ("mean", "max")
    return f"{self.pool}/{self.temporal}" if whole else f"{self.pool}/frames"


class Head(nn.Module):
  """Pool, then what `spec` says, then one dense layer per task, under the task's name; all in float32."""
  tasks: tuple[tuple[str, int], ...]
  spec: Spec = Spec()

  def pool(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    """Tokens (B, N, D) of a grid (T', H', W'), prefix tokens first -> the (B, M, D') that the head needs.

    Their grid is (M, 1, 1); with it they pass through unchanged, so a head gives the same logits on kept ones.
    """
    tokens = tokens.astype(jnp.float32)
    if self.spec.kind == "attentive":
      return tokens
    frames = self._frames(tokens, grid)  # (B, T', D')
    if self.spec.keeps.endswith("/mean"):
      return frames.mean(axis=1, keepdims=True)
    return frames.max(axis=1, keepdims=True) if self.spec.keeps.endswith("/max") else frames

  def _frames(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    (b, n, d), (t, h, w), pool = tokens.shape, grid, self.spec.pool
    prefix, patches = jnp.split(tokens, [n - t * h * w], axis=1)
    if not prefix.shape[1] and h * w == 1:
      return patches  # one token a frame, or pooled before
    if pool.startswith("cls"):
      if not prefix.shape[1]:
        raise ConfigError(f"model.pool is {pool!r}, but this trunk has no class token: use --config.model.pool=mean.")
      if pool == "cls":
        return prefix
      # One class token of the clip is said again beside every frame.
      prefix = jnp.broadcast_to(prefix, (b, t, d))
      return jnp.concatenate([prefix, patches.reshape(b, t, h * w, d).mean(axis=2)], axis=-1)
    if pool == "flatten":
      return patches.reshape(b, t, h * w * d)
    if pool == "windows":
      window = tuple(min(size, full) for size, full in zip(grid, (2, 7, 7), strict=True))
      # The classifier is linear: the mean over time may come before it as well as after it.
      return nn.avg_pool(patches.reshape(b, *grid, d), window, padding="VALID").mean(axis=(2, 3))
    return patches.reshape(b, t, h * w, d).mean(axis=2)

  @nn.compact
  def __call__(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False) -> dict[str, jax.Array]:
    """Tokens (B, N, D) -> {task: (B, K)}; `train` needs a "dropout" key where dropout > 0."""
    s, x = self.spec, self.pool(tokens, grid)  # (B, M, D)
    if s.norm:
      x = nn.LayerNorm(epsilon=s.norm, name="norm")(x)
    if s.kind == "attentive":
      x = temporal.AttentivePooler(s.depth, name="pooler")(x)  # (B, D)
    elif s.kind == "transformer":
      x = temporal.TemporalTransformer(s.depth, s.dropout, name="transformer")(x, train)
    elif s.kind == "tcn":
      x = temporal.TCN(s.hidden[0], s.depth, s.dropout, name="tcn")(x, train)
    elif s.temporal == "attention":
      x = temporal.AttentionPool(name="attention")(x)
    elif s.temporal != "logits":
      x = x[:, 0]
    widths = s.hidden if s.kind == "mlp" else ()
    for i, width in enumerate(widths):
      x = nn.Dropout(s.dropout, deterministic=not train, name=f"dropout_{i:02}")(x)
      x = nn.relu(nn.Dense(width, name=f"hidden_{i:02}")(x))
    x = nn.Dropout(s.dropout, deterministic=not train, name=f"dropout_{len(widths):02}")(x)
    out = {task: nn.Dense(classes, name=task)(x) for task, classes in self.tasks}
    return out if x.ndim == 2 else {task: logits.mean(axis=1) for task, logits in out.items()}
