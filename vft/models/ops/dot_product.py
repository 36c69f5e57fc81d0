"""Attention."""
import jax


def attention(q: jax.Array, k: jax.Array, v: jax.Array) -> jax.Array:
  """softmax(q k^T / sqrt(d)) v for q (B, N, heads, d), k and v (B, M, heads, d) -> (B, N, heads, d)."""
  return jax.nn.dot_product_attention(q, k, v)
