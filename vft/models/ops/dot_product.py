"""Attention; on a CPU neither direction ever holds all scores, and no pass over them looks for their maximum."""
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

SMALL = 2**21  # scores of all clips and heads; below this little is gained, and the library compiles sooner
PIECE = 5 * 2**18  # scores computed at once
LEAST = 1e-30  # a sum of shares below this has lost digits
POWER = np.polynomial.Chebyshev.interpolate(np.exp2, 5, (-0.5, 0.5)).convert(kind=np.polynomial.Polynomial).coef


def attention(q: jax.Array, k: jax.Array, v: jax.Array, causal: bool = False, cap: float = 0.0) -> jax.Array:
  """softmax(q k^T / sqrt(d)) v for q (B, N, heads, d), k and v (B, M, heads, d) -> (B, N, heads, d).

  `causal`: query n sees keys 0 to n. `cap`: see `capped`; then all scores are held. On a CPU, where the scores are
  many: a head and a block of its queries at a time, backward a block of its keys, as in FlashAttention
  (arXiv:2205.14135). In float64 it is written out, as the library's softmax is in float32 even there.
  """
  if q.dtype == jnp.float64 or cap:
    return _written_out(q, k, v, causal, cap)
  scores = math.prod(q.shape[:3]) * k.shape[1]
  if not isinstance(scores, int) or scores < SMALL:  # of lengths that an export leaves open, nothing is known
    return jax.nn.dot_product_attention(q, k, v, is_causal=causal)
  return lax.platform_dependent(q, k, v, cpu=functools.partial(_attention, causal=causal),
                                default=functools.partial(jax.nn.dot_product_attention, is_causal=causal))


def capped(scores: jax.Array, cap: float) -> jax.Array:
  """Scores between -cap and cap, small ones nearly as they were; 0 = no cap."""
  return cap * jnp.tanh(scores / cap) if cap else scores


def _written_out(q, k, v, causal, cap):
  wide = jnp.promote_types(q.dtype, jnp.float32)
  scores = capped(jnp.einsum("bnhd,bmhd->bhnm", q, k, preferred_element_type=wide) * q.shape[-1]**-0.5, cap)
  if causal:
    scores = jnp.where(jnp.tri(*scores.shape[2:], dtype=bool)[None, None], scores, -jnp.inf)
  return jnp.einsum("bhnm,bmhd->bnhd", jax.nn.softmax(scores).astype(v.dtype), v)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def _attention(q, k, v, causal):
  return _forward(q, k, v, causal)[0]


def _forward(q, k, v, causal):
  out, sizes, least = _by_queries(q, k, v, causal)
  out, sizes = lax.cond(least > LEAST, lambda: (out, sizes), lambda: _by_queries(q, k, v, causal, exact=True)[:2])
  return out.astype(q.dtype), (q, k, v, out, sizes)


def _exp2(x: jax.Array) -> jax.Array:
  """2^x of x < 127 within 2e-7: a polynomial of x's fraction, and its integer added to the exponent's bits."""
  x = jnp.maximum(x, -126)
  whole = lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN)
  y = functools.reduce(lambda y, a: y * (x - whole) + np.float32(a), POWER[-2::-1], np.float32(POWER[-1]))
  exponent = lax.bitcast_convert_type(whole + np.float32(1.5 * 2**23), jnp.int32) << 23
  return lax.bitcast_convert_type(lax.bitcast_convert_type(y, jnp.int32) + exponent, jnp.float32)


def _head(x: jax.Array, i: jax.Array) -> jax.Array:
  """(B, N, heads, d) -> (B, N, d), or (N, d) of a single clip: an axis of one would cost copies."""
  x = lax.dynamic_index_in_dim(x, i, 2, keepdims=False).astype(jnp.float32)
  return x[0] if len(x) == 1 else x


def _blocks(x: jax.Array, others: int) -> jax.Array:
  """(..., N, d) -> (blocks, ..., size, d), filled up with zeros; `others` scores for each of N."""
  n, d = x.shape[-2:]
  blocks = -(-n // max(16, PIECE // others))
  size = -(-n // blocks)
  x = jnp.pad(x, ((0, 0),) * (x.ndim - 2) + ((0, blocks * size - n), (0, 0)))
  return jnp.moveaxis(x.reshape(*x.shape[:-2], blocks, size, d), -3, 0)


def _joined(x: jax.Array, like: jax.Array) -> jax.Array:
  """(heads, blocks, ..., size, d) -> (B, N, heads, d)."""
  x = jnp.moveaxis(x, (0, 1), (-2, -4))
  return x.reshape(len(like), -1, *x.shape[-2:])[:, :like.shape[1]]


def _masked(shares: jax.Array, query: jax.Array, key: jax.Array) -> jax.Array:
  return jnp.where(jnp.broadcast_to(key <= query, shares.shape), shares, 0)


def _by_queries(q, k, v, causal, exact=False):
  """-> output (B, N, heads, d), log2 of the sums over keys (heads, ..., N), the least sum.

  `exact`: the largest score is subtracted, else what |query| max |key| exceeds 86 by. Then no sum is too large, but one
  may be too small.
  """
  def of_head(_, i):
    keys, values = _head(k, i), _head(v, i)
    longest = jnp.sqrt((keys**2).sum(-1)).max(-1)[..., None]

    def of_block(first, q):
      scores = lax.optimization_barrier(jnp.einsum("...nd,...md->...nm", q, keys))
      top = scores.max(-1) if exact else jnp.maximum(jnp.sqrt((q**2).sum(-1)) * longest - 86, 0)
      shares = _exp2(scores - top[..., None])
      if causal:
        shares = _masked(shares, first + jnp.arange(q.shape[-2])[:, None], jnp.arange(k.shape[1])[None])
      total = shares.sum(-1)
      out = jnp.einsum("...nm,...md->...nd", shares, values) / total[..., None]
      return first + q.shape[-2], (out, (jnp.log2(total) + top)[..., None], total.min())
    queries = _blocks(_head(q, i) * (math.log2(math.e) * q.shape[-1]**-0.5), len(k) * k.shape[1])
    return None, lax.scan(of_block, 0, queries, unroll=1 if exact else 2)[1]
  out, sizes, least = lax.scan(of_head, None, jnp.arange(q.shape[2]))[1]
  return _joined(out, q), _joined(sizes, q), least.min()


def _backward(causal, saved, g):
  q, k, v, out, sizes = saved
  n, scale = q.shape[1], q.shape[-1]**-0.5

  def of_head(_, i):
    queries, slopes, size = _head(q, i) * scale, _head(g, i), _head(sizes, i)[..., 0]
    inner = lax.optimization_barrier(slopes * _head(out, i)).sum(-1)  # in memory before it is summed

    def of_block(carry, block):
      (first, dq), (k, v) = carry, block
      shares = _exp2(jnp.einsum("...md,...nd->...mn", k * math.log2(math.e), queries) - size[..., None, :])
      if causal:
        shares = _masked(shares, jnp.arange(n)[None], first + jnp.arange(k.shape[-2])[:, None])
      ds = shares * (jnp.einsum("...md,...nd->...mn", v, slopes) - inner[..., None, :])
      dv = jnp.einsum("...mn,...nd->...md", shares, slopes)
      dk = jnp.einsum("...mn,...nd->...md", ds, queries)
      return (first + k.shape[-2], dq + jnp.einsum("...md,...mn->...dn", k, ds)), (dk, dv)
    blocks = tuple(_blocks(_head(x, i), len(q) * n) for x in (k, v))
    (_, dq), (dk, dv) = lax.scan(of_block, (0, jnp.zeros_like(queries.swapaxes(-1, -2))), blocks, unroll=2)
    return None, (dq.swapaxes(-1, -2)[None] * scale, dk, dv)
  grads = lax.scan(of_head, None, jnp.arange(q.shape[2]))[1]
  return tuple(_joined(x, like).astype(like.dtype) for x, like in zip(grads, (q, k, v), strict=True))


_attention.defvjp(_forward, _backward)
