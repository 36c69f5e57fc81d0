"""Layers of vision transformers (arXiv:2010.11929); query, key and value are kernels of their own."""
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.layers import drop_path

ACTIVATIONS: dict[str, Callable[[jax.Array], jax.Array]] = {
    "relu": nn.relu,
    "gelu": ops.gelu,
    "gelu_tanh": nn.gelu,
    "quick_gelu": lambda x: x * nn.sigmoid(1.702 * x),  # as CLIP's
}
Inits = tuple[nn.initializers.Initializer, nn.initializers.Initializer]  # of a part's last kernel, of its others
Turn = Callable[[jax.Array], jax.Array]  # of (B, N, heads, D / heads)
LECUN: Inits = (nn.initializers.lecun_normal(), nn.initializers.lecun_normal())


Dense = functools.partial(nn.Dense, dot_general=ops.linear)


class LayerNorm(nn.Module):
  """`nn.LayerNorm` of the last axis, with a gradient that is fast on CPUs too."""
  epsilon: float = 1e-6
  dtype: jnp.dtype = jnp.float32

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale = self.param("scale", nn.initializers.ones, x.shape[-1:])
    bias = self.param("bias", nn.initializers.zeros, x.shape[-1:])
    return jnp.asarray(ops.layer_norm(x, scale, bias, self.epsilon), self.dtype)


class Attention(nn.Module):
  """Multi-head attention of x (B, N, D) to `context` (B, M, D), itself unless given -> (B, N, D).

  `bias` names the projections that have one; without `mix` there is no projection after the heads. On request
  "queries" and "keys" (B, N, heads, D / heads) are sown into the collection "attention". `causal`: a token sees none
  that come after it. `turn`: what places do to queries and keys. `cap`: of scores, see `ops.capped`.
  """
  heads: int
  bias: tuple[str, ...] = ("q", "k", "v", "out")
  dtype: jnp.dtype = jnp.float32
  mix: bool = True
  inits: Inits = LECUN
  causal: bool = False
  turn: Turn | None = None
  cap: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, context: jax.Array | None = None) -> jax.Array:
    d, context = x.shape[-1], x if context is None else context

    def project(name, y):
      y = Dense(d, use_bias=name in self.bias, dtype=self.dtype, kernel_init=self.inits[1], name=name)(y)
      return y.reshape(*y.shape[:2], self.heads, d // self.heads)
    q, k, v = project("q", x), project("k", context), project("v", context)
    if self.turn:
      q, k = self.turn(q), self.turn(k)
    if not self.is_initializing():  # else `init` would return them beside the parameters
      self.sow("attention", "queries", q)
      self.sow("attention", "keys", k)
    y = ops.attention(q, k, v, self.causal, self.cap).reshape(x.shape)
    if not self.mix:
      return y
    return Dense(d, use_bias="out" in self.bias, dtype=self.dtype, kernel_init=self.inits[0], name="out")(y)


class Mlp(nn.Module):
  """Two dense layers: (B, N, D) -> (B, N, D)."""
  width: int
  activation: str = "gelu"
  dtype: jnp.dtype = jnp.float32
  inits: Inits = LECUN

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    y = Dense(self.width, dtype=self.dtype, kernel_init=self.inits[1], name="fc1")(x)
    y = ACTIVATIONS[self.activation](y)
    return Dense(x.shape[-1], dtype=self.dtype, kernel_init=self.inits[0], name="fc2")(y)


class Block(nn.Module):
  """Pre-norm block: x + scale * attention(norm1(x)), then x + scale * mlp(norm2(x)); (B, N, D) -> (B, N, D).

  `layer_scale` is the first value of a learned scale per channel (arXiv:2103.17239), 0 = none. `dropout` is of what
  attention and mlp add, in training, as is `drop_path` of all of it; both need a "dropout" key. `norm` makes the norms.
  """
  heads: int
  mlp_width: int
  epsilon: float = 1e-6
  activation: str = "gelu"
  bias: tuple[str, ...] = ("q", "k", "v", "out")
  layer_scale: float = 0.0
  dtype: jnp.dtype = jnp.float32
  dropout: float = 0.0
  inits: Inits = LECUN
  causal: bool = False
  drop_path: float = 0.0
  turn: Turn | None = None
  cap: float = 0.0
  norm: Callable[..., Callable[[jax.Array], jax.Array]] = LayerNorm

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    def scale(name, y):
      if not self.layer_scale:
        return y
      factor = self.param(name, nn.initializers.constant(self.layer_scale), (y.shape[-1],))
      return y * jnp.asarray(factor, y.dtype).reshape(1, 1, -1)
    y = self.norm(epsilon=self.epsilon, dtype=self.dtype, name="norm1")(x)
    y = Attention(self.heads, self.bias, self.dtype, inits=self.inits, causal=self.causal, turn=self.turn,
                  cap=self.cap, name="attention")(y)
    y = nn.Dropout(self.dropout, deterministic=not train, name="dropout1")(scale("scale1", y))
    x = x + drop_path(self.drop_path, train, y, "drop_path1")
    y = self.norm(epsilon=self.epsilon, dtype=self.dtype, name="norm2")(x)
    y = Mlp(self.mlp_width, self.activation, self.dtype, self.inits, name="mlp")(y)
    y = nn.Dropout(self.dropout, deterministic=not train, name="dropout2")(scale("scale2", y))
    return x + drop_path(self.drop_path, train, y, "drop_path2")
