"""What a head can put between the pooled tokens and its dense layers: (B, M, D) -> (B, D')."""
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models.transformer import Attention, Block, Inits, Mlp


def num_heads(width: int) -> int:
  """Heads of about 64 channels, 16 at most: the largest such number that divides the width.

  So the probes of V-JEPA 2 have 16 at their widths of 1024 to 1664.
  """
  return next(n for n in range(max(1, min(16, width // 64)), 0, -1) if width % n == 0)


def mean(x: jax.Array, there: jax.Array) -> jax.Array:
  """(B, M, D) -> (B, D), the mean over what is there (B, M, 1); zeros where nothing is."""
  return jnp.where(there, x, 0.0).sum(axis=1) / jnp.maximum(there.sum(axis=1), 1)


class AttentionPool(nn.Module):
  """Weighted mean over M, the weights a softmax of w tanh(V x) (arXiv:1802.04712, eq. 8) of those `there`."""
  width: int = 128

  @nn.compact
  def __call__(self, x: jax.Array, there: jax.Array | None = None) -> jax.Array:
    scores = nn.Dense(1, use_bias=False, name="w")(jnp.tanh(nn.Dense(self.width, use_bias=False, name="v")(x)))
    if there is None:
      return (x * nn.softmax(scores, axis=1)).sum(axis=1)
    scores = jnp.where(there, scores, jnp.finfo(scores.dtype).min)
    return (jnp.where(there, x, 0.0) * nn.softmax(scores, axis=1)).sum(axis=1)


class CrossBlock(nn.Module):
  """query + attention(query, norm1(x)), then + mlp(norm2(.)): query (B, Q, D), x (B, N, D) -> (B, Q, D).

  As V-JEPA 2's: the query is not normalised and no projection follows the attention.
  """
  heads: int
  mlp_width: int
  epsilon: float
  inits: Inits

  @nn.compact
  def __call__(self, query: jax.Array, x: jax.Array) -> jax.Array:
    y = nn.LayerNorm(epsilon=self.epsilon, name="norm1")(x)
    query = query + Attention(self.heads, mix=False, inits=self.inits, name="attention")(query, y)
    y = nn.LayerNorm(epsilon=self.epsilon, name="norm2")(query)
    return query + Mlp(self.mlp_width, inits=self.inits, name="mlp")(y)


class AttentivePooler(nn.Module):
  """V-JEPA 2's probe (arXiv:2506.09985): depth - 1 blocks of self-attention, then one learned query over all tokens.

  The published ones have depth 4. First values as in the authors' code, smaller at the end of later blocks. `epsilon`
  of the norms is theirs too; the port in transformers has 1e-6.
  """
  depth: int = 1
  epsilon: float = 1e-5

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, _, d = x.shape
    normal = nn.initializers.normal

    def inits(layer: int) -> Inits:
      return normal(0.02 / math.sqrt(2 * layer)), normal(0.02)
    for i in range(self.depth - 1):
      x = Block(num_heads(d), 4 * d, self.epsilon, inits=inits(i + 1), name=f"block_{i:02}")(x)
    query = jnp.broadcast_to(self.param("query", normal(0.02), (1, 1, d)), (b, 1, d))
    return CrossBlock(num_heads(d), 4 * d, self.epsilon, inits(max(1, self.depth - 1)), name="cross")(query, x)[:, 0]


class TemporalTransformer(nn.Module):
  """Learned positions, `depth` pre-norm blocks over the frames, LayerNorm, mean (as ViViT's factorised encoder)."""
  depth: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    _, m, d = x.shape
    x = x + self.param("pos_time", nn.initializers.normal(0.02), (m, d)).reshape(1, m, d)
    x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
    for i in range(self.depth):
      x = Block(num_heads(d), 4 * d, dropout=self.dropout, name=f"block_{i:02}")(x, train)
    return nn.LayerNorm(epsilon=1e-6, name="norm")(x).mean(axis=1)


class CausalTransformer(nn.Module):
  """(B, S, D) -> (B, S, width): a dense layer, sinusoidal positions, `depth` pre-norm blocks that look back only."""
  width: int = 256
  depth: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.Dense(self.width, name="project")(x) + sinusoids(x.shape[1], self.width)[None]
    x = nn.Dropout(self.dropout, deterministic=not train, name="dropout")(x)
    for i in range(self.depth):
      block = Block(num_heads(self.width), 4 * self.width, dropout=self.dropout, causal=True, name=f"block_{i:02}")
      x = block(x, train)
    return nn.LayerNorm(epsilon=1e-6, name="norm")(x)


def sinusoids(length: int, width: int) -> jax.Array:
  """(length, width): sine and cosine of wavelengths from 2 pi to 20000 pi (arXiv:1706.03762, sec. 3.5)."""
  rates = 10000.0 ** (-jnp.arange(0, width, 2) / width)
  angles = jnp.arange(length, dtype=jnp.float32)[:, None] * rates[None]
  return jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=1)[:, :width]


class Dilated(nn.Module):
  """(B, M, D) -> (B, M, width): one stage of MS-TCN (arXiv:1903.01945, sec. 3.1).

  Residual layers of kernel 3 and dilation 1, 2, 4 ...: `depth` of them see 2^(depth + 1) - 1 frames, around each or,
  where causal, up to it.
  """
  width: int = 256
  depth: int = 1
  dropout: float = 0.0
  causal: bool = False

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.Dense(self.width, name="project")(x)
    for i in range(self.depth):
      conv = nn.Conv(self.width, (3,), kernel_dilation=(2**i,), padding="CAUSAL" if self.causal else "SAME",
                     name=f"dilated_{i:02}")
      y = nn.Dense(self.width, name=f"mix_{i:02}")(nn.relu(conv(x)))
      x = x + nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{i:02}")(y)
    return x
