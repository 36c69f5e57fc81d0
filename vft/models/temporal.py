"""What a head can put between the pooled tokens and its dense layers: (B, M, D) -> (B, D')."""
import math

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models.transformer import Attention, Block, Mlp


def num_heads(width: int) -> int:
  """Heads of about 64 channels, as many as divide the width."""
  return math.gcd(width, max(1, width // 64))


class AttentionPool(nn.Module):
  """Weighted mean over M, the weights a softmax of w tanh(V x) (arXiv:1802.04712, eq. 8)."""
  width: int = 128

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scores = nn.Dense(1, use_bias=False, name="w")(jnp.tanh(nn.Dense(self.width, use_bias=False, name="v")(x)))
    return (x * nn.softmax(scores, axis=1)).sum(axis=1)


class AttentivePooler(nn.Module):
  """One learned query over all tokens, after depth - 1 blocks of self-attention (V-JEPA 2, arXiv:2506.09985)."""
  depth: int = 1

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, _, d = x.shape
    for i in range(self.depth - 1):
      x = Block(num_heads(d), 4 * d, name=f"block_{i:02}")(x)
    query = self.param("query", nn.initializers.truncated_normal(0.02), (1, 1, d))
    query = jnp.broadcast_to(query, (b, 1, d))
    query = query + Attention(num_heads(d), name="cross")(query, nn.LayerNorm(epsilon=1e-6, name="norm1")(x))
    return (query + Mlp(4 * d, name="mlp")(nn.LayerNorm(epsilon=1e-6, name="norm2")(query)))[:, 0]


class TemporalTransformer(nn.Module):
  """Learned positions, `depth` pre-norm blocks over the frames, LayerNorm, mean (as ViViT's factorised encoder)."""
  depth: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    _, m, d = x.shape
    x = x + self.param("positions", nn.initializers.truncated_normal(0.02), (1, m, d))
    for i in range(self.depth):
      x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{i:02}")(x)
      x = Block(num_heads(d), 4 * d, name=f"block_{i:02}")(x)
    return nn.LayerNorm(epsilon=1e-6, name="norm")(x).mean(axis=1)


class TCN(nn.Module):
  """Residual convolutions over time, kernel 3, dilation 1, 2, 4 ... (arXiv:1903.01945, sec. 3.1), mean over time."""
  width: int = 256
  depth: int = 1
  dropout: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.Dense(self.width, name="project")(x)
    for i in range(self.depth):
      y = nn.relu(nn.Conv(self.width, (3,), kernel_dilation=(2**i,), name=f"dilated_{i:02}")(x))
      y = nn.Dense(self.width, name=f"mix_{i:02}")(y)
      x = x + nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{i:02}")(y)
    return x.mean(axis=1)
