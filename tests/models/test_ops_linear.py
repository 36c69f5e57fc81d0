"""Gelu, layer norm and the product of a dense layer equal the library's, forward and backward."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from vft.models import ops
from vft.models.transformer import Dense, LayerNorm

DTYPES = (jnp.float32, jnp.bfloat16)


def forward_and_gradients(f, weight, *args):
  out, pull = jax.vjp(f, *args)
  return out, pull(weight.astype(out.dtype))


def assert_equal(ours, theirs, dtype):
  rounding = 1e-5 if dtype == jnp.float32 else 0.02  # bfloat16 has 8 bits, and the library rounds between its steps
  for mine, other in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    assert mine.dtype == other.dtype
    mine, other = np.asarray(mine, np.float32), np.asarray(other, np.float32)
    np.testing.assert_allclose(mine, other, atol=rounding * max(1, np.abs(other).max()))


@pytest.mark.parametrize("dtype", DTYPES)
def test_gelu_equals_the_library(dtype):
  x = jnp.asarray(np.append(np.linspace(-12, 12, 999), 0.0), dtype)
  weight = jnp.cos(x)
  assert_equal(forward_and_gradients(jax.jit(ops.gelu), weight, x),
               forward_and_gradients(lambda x: nn.gelu(x, approximate=False), weight, x), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(2, 5, 8), (3, 8)])
def test_layer_norm_equals_the_library(dtype, shape):
  rng = np.random.default_rng(0)
  x, weight = jnp.asarray(rng.normal(1, 2, shape), dtype), jnp.asarray(rng.normal(size=shape))
  params = {"params": {"scale": jnp.asarray(rng.normal(size=8)), "bias": jnp.asarray(rng.normal(size=8))}}
  ours, library = LayerNorm(1e-6, dtype), nn.LayerNorm(1e-6, dtype=dtype)
  assert jax.tree.structure(ours.init(jax.random.key(0), x)) == jax.tree.structure(library.init(jax.random.key(0), x))
  assert_equal(forward_and_gradients(jax.jit(ours.apply), weight, params, x),
               forward_and_gradients(library.apply, weight, params, x), dtype)


def test_float64_stays_float64_forward_and_backward():
  """As comparisons with an original need it; in float32 differences over 2e-4 would be 1e-4 off."""
  with jax.enable_x64(True):
    x, ones = jnp.linspace(-2.0, 3.0, 8).reshape(1, 8), jnp.ones(8)
    for f in (ops.gelu, lambda x: jnp.square(ops.layer_norm(x, ones * 2, ones, 1e-6))):
      total = jax.jit(lambda x, f=f: (f(x) * jnp.arange(8.0).reshape(1, 8)).sum())
      slopes = jax.jit(jax.grad(total))(x)
      assert slopes.dtype == jnp.float64
      steps = [1e-4 * jnp.eye(8)[i:i + 1] for i in range(8)]
      want = jnp.stack([(total(x + step) - total(x - step)) / 2e-4 for step in steps])
      np.testing.assert_allclose(slopes[0], want, rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dense_equals_the_library(dtype):
  rng = np.random.default_rng(0)
  x, weight = jnp.asarray(rng.normal(size=(2, 5, 8)), dtype), jnp.asarray(rng.normal(size=(2, 5, 3)))
  ours, library = Dense(3, dtype=dtype), nn.Dense(3, dtype=dtype)
  params = ours.init(jax.random.key(0), x)
  jax.tree.map(np.testing.assert_array_equal, params, library.init(jax.random.key(0), x))
  assert_equal(forward_and_gradients(jax.jit(ours.apply), weight, params, x),
               forward_and_gradients(library.apply, weight, params, x), dtype)


def test_gradient_of_gelu_keeps_only_the_input():
  x = jnp.ones((64, 64))
  kept = jax.tree.leaves(jax.vjp(ops.gelu, x)[1])
  assert [a.shape for a in kept if a.size > 1] == [(64, 64)]


def test_other_devices_keep_the_library():
  x = jnp.ones((3, 8))
  for f, args in ((ops.gelu, (x,)), (lambda *a: ops.layer_norm(*a, 1e-6), (x, x[0], x[0]))):
    grad = jax.jit(jax.grad(lambda *a, f=f: f(*a).sum()))
    theirs = {"cpu": False, "cuda": True, "tpu": True}
    texts = {p: grad.trace(*args).lower(lowering_platforms=(p,)).as_text() for p in theirs}
    assert {p: "optimization_barrier" not in text for p, text in texts.items()} == theirs
