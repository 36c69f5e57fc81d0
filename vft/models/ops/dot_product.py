"""Attention on a CPU: no direction ever holds all scores, and no pass over them looks for their maximum."""
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SMALL = 2**21  # scores of all clips and heads; below this little is gained, and the library compiles sooner
PIECE = 5 * 2**18  # scores computed at once, 5 MB
# 2^x for x in [-0.5, 0.5], within 1e-7
POWER = np.polynomial.Chebyshev.interpolate(np.exp2, 5, (-0.5, 0.5)).convert(kind=np.polynomial.Polynomial).coef


def attention(q: jax.Array, k: jax.Array, v: jax.Array, causal: bool = False) -> jax.Array:
  """softmax(q k^T / sqrt(d)) v for q (B, N, heads, d), k and v (B, M, heads, d) -> (B, N, heads, d).

  `causal`: query n sees keys 0 to n. On a CPU, where the scores are many: a head and a block of queries, backward of
  keys, at a time, as in FlashAttention (arXiv:2205.14135).
  """
  if math.prod(q.shape[:3]) * k.shape[1] < SMALL:
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal)
  return lax.platform_dependent(q, k, v, cpu=functools.partial(_attention, causal=causal),
                                default=functools.partial(jax.nn.dot_product_attention, is_causal=causal))


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attention(q, k, v, causal):
  return _forward(q, k, v, causal)[0]


def _forward(q, k, v, causal):
  out, size, total = _by_queries(q, k, v, causal, bounded=True)
  out, size = lax.cond(total > 1e-30, lambda: (out, size), lambda: _by_queries(q, k, v, causal, bounded=False)[:2])
  return out.astype(q.dtype), (q, k, v, out, size)


def _exp2(x: jax.Array) -> jax.Array:
  """2^x for x < 127; half the time of the library's."""
  x = jnp.maximum(x, -126)
  whole = lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
  power = functools.reduce(lambda y, a: y * (x - whole) + np.float32(a), POWER[-2::-1], np.float32(POWER[-1]))
  exponent = lax.bitcast_convert_type(whole + np.float32(1.5 * 2**23), jnp.int32) << 23
  return lax.bitcast_convert_type(lax.bitcast_convert_type(power, jnp.int32) + exponent, jnp.float32)


def _head(x: jax.Array, i: jax.Array) -> jax.Array:
  """(B, N, heads, d) -> (B, N, d) or, where B is 1, (N, d): an axis of one would cost copies."""
  x = lax.dynamic_index_in_dim(x, i, 2, keepdims=False).astype(jnp.float32)
  return x[0] if len(x) == 1 else x


def _blocks(x: jax.Array, pairs: int) -> jax.Array:
  """(..., N, d) -> (blocks, ..., size, d), filled up with zeros."""
  n, d = x.shape[-2:]
  blocks = -(-n // max(16, PIECE // pairs))
  size = -(-n // blocks)
  x = jnp.pad(x, ((0, 0),) * (x.ndim - 2) + ((0, blocks * size - n), (0, 0)))
  return jnp.moveaxis(x.reshape(*x.shape[:-2], blocks, size, d), -3, 0)


def _joined(x: jax.Array, b: int, n: int) -> jax.Array:
  """(heads, blocks, ..., size, d) -> (B, N, heads, d)."""
  x = jnp.moveaxis(x, (0, 1), (-2, -4))
  return x.reshape(b, -1, *x.shape[-2:])[:, :n]


def _seen(first: jax.Array, rows: int, columns: int) -> jax.Array:
  """(rows, columns): is the number of the column at most that of the row, `first` and on?"""
  return jnp.arange(columns)[None] <= first + jnp.arange(rows)[:, None]


def _by_queries(q, k, v, causal, bounded):
  """-> attention (B, N, heads, d), log2 of the softmax's denominators (heads, ..., N), the least denominator.

  `bounded`: scores are kept below 2^86 by |q| max|k|, not by their maximum; a sum may become too small, then they are not.
  """
  b, n, heads, d = q.shape

  def of_head(_, i):
    keys, values = _head(k, i), _head(v, i)
    longest = jnp.sqrt((keys**2).sum(-1)).max(-1)

    def of_block(number, q):
      scores = lax.optimization_barrier(jnp.einsum("...nd,...md->...nm", q, keys))
      if bounded:
        top = jnp.sqrt((q**2).sum(-1)) * longest[..., None] - 86
      else:
        top = scores.max(-1)
      shares = _exp2(scores - top[..., None])
      if causal:
        seen = _seen(number * q.shape[-2], *scores.shape[-2:])
        shares = jnp.where(seen if b == 1 else seen[None], shares, 0)
      total = shares.sum(-1)
      out = jnp.einsum("...nm,...md->...nd", shares, values) / total[..., None]
      return number + 1, (out, jnp.log2(total) + top, total)

    queries = _blocks(_head(q, i) * (math.log2(math.e) * d**-0.5), b * k.shape[1])
    return _, lax.scan(of_block, 0, queries, unroll=2)[1]
  _, (out, size, total) = lax.scan(of_head, None, jnp.arange(heads))
  return _joined(out, b, n), jnp.moveaxis(size, 1, -2).reshape(heads, *size.shape[2:-1], -1)[..., :n], total.min()


def _backward(causal, saved, g):
  q, k, v, out, size = saved
  (b, n, heads, d), m = q.shape, k.shape[1]

  def of_head(_, i):
    queries, slope, log_total = _head(q, i) * d**-0.5, _head(g, i), size[i]
    mean = (slope * _head(out, i)).sum(-1)

    def of_block(carry, block):
      (number, dq), (k, v) = carry, block
      shares = _exp2(jnp.einsum("...md,...nd->...mn", k * math.log2(math.e), queries) - log_total[..., None, :])
      if causal:
        seen = _seen(0, n, number * len(k)).T
        shares = jnp.where(seen if b == 1 else seen[None], shares, 0)
      ds = shares * (jnp.einsum("...md,...nd->...mn", v, slope) - mean[..., None, :])
      dv = jnp.einsum("...mn,...nd->...md", shares, slope)
      dk = jnp.einsum("...mn,...nd->...md", ds, queries)
      return (number + 1, dq + jnp.einsum("...md,...mn->...dn", k, ds)), (dk, dv)
    start = 0, jnp.zeros_like(queries.swapaxes(-1, -2))
    (_, dq), (dk, dv) = lax.scan(of_block, start, (_blocks(_head(k, i), b * n), _blocks(_head(v, i), b * n)), unroll=2)
    return None, (dq.swapaxes(-1, -2)[None] * d**-0.5, dk, dv)
  _, grads = lax.scan(of_head, None, jnp.arange(heads))
  return tuple(_joined(x, b, like.shape[1]).astype(like.dtype) for x, like in zip(grads, (q, k, v), strict=True))


_attention.defvjp(_forward, _backward)
