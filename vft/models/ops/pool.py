"""Max pooling: on a CPU one axis after another, forward and backward."""
import functools
import math
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax

from vft.models.ops.lowering import lowering


def max_pool(x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...],
             padding: str | Sequence[tuple[int, int]] = "SAME") -> jax.Array:
  """`nn.max_pool` of (B, ..., C). Of equal values the first takes the gradient, as with the library."""
  pads = lax.padtype_to_pads(x.shape[1:-1], window, strides, padding) if isinstance(padding, str) else padding
  return _max_pool((window, strides, tuple(map(tuple, pads))), x)


def _library(x, window, strides, pads):
  return nn.max_pool(x, window_shape=window, strides=strides, padding=pads)


def _stages(x, window, strides, pads):
  """`x`, and what it is after each axis, the last axis first."""
  stages = [x]
  for axis in reversed(range(len(window))):
    one = (tuple(value if i == axis else rest for i, value in enumerate(values))
           for values, rest in ((window, 1), (strides, 1), (pads, (0, 0))))
    stages.append(_library(stages[-1], *one))
  return stages


def _gradients(x, g, window, strides, pads):
  stages = _stages(x, window, strides, pads)
  for axis, how in enumerate(zip(window, strides, pads, strict=True), 1):
    before, after = stages[-1 - axis], stages[-axis]
    g = _axis_gradient(before, after, g, axis, *how).reshape(before.shape)
  return (g,)


def _axis_gradient(x, y, g, axis, k, s, pad):
  """Value r of stride a is tap i = q s + r of window a - q; that window's slope is its if no earlier tap equals y."""
  if k == s == 1:
    return g
  n, m, inner, steps = x.shape[axis], y.shape[axis], math.prod(x.shape[axis + 1:]), -(-k // s)
  strides = max(m - 1 + steps, -(-(pad[0] + n) // s))
  before = (steps - 1) * s + pad[0]  # for the windows in front of the first
  edges = (before, (strides + steps - 1) * s - before - n, 0), (steps - 1, strides - m, 0)
  x, y, g = (lax.pad(v.reshape(-1, v.shape[axis], inner), jnp.array(fill, v.dtype), ((0, 0, 0), edge, (0, 0, 0)))
             for v, fill, edge in ((x, -jnp.inf, edges[0]), (y, 0, edges[1]), (g, 0, edges[1])))
  x, y, g = lax.optimization_barrier((x, y, g))  # in memory, or each reader would compute them again
  x = x.reshape(-1, strides + steps - 1, s, inner)

  def share(i):
    start = steps - 1 - i // s
    equal = [x[:, start + j // s:start + j // s + strides, j % s] == y[:, start:start + strides] for j in range(i + 1)]
    first = functools.reduce(operator.and_, (~earlier for earlier in equal[:-1]), equal[-1])
    return jnp.where(first, g[:, start:start + strides], 0)
  nothing = jnp.zeros((len(x), strides, inner), g.dtype)  # where windows do not touch
  phases = [functools.reduce(operator.add, map(share, range(r, k, s)), nothing) for r in range(s)]
  return jnp.stack(phases, axis=2).reshape(len(x), -1, inner)[:, pad[0]:pad[0] + n]


_max_pool = lowering(lambda x, *how: _stages(x, *how)[-1], _gradients, _library)
