"""The CPU's blocks of queries and keys equal the library's attention, forward and backward."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from vft.models import ops
from vft.models.ops import dot_product

library = jax.nn.dot_product_attention


@pytest.fixture
def blocks(monkeypatch):
  """Blocks of 16 queries, however small the clip."""
  monkeypatch.setattr(dot_product, "SMALL", 0)
  monkeypatch.setattr(dot_product, "PIECE", 1)
  jax.clear_caches()


def inputs(b, n, m, heads=2, d=4, dtype=np.float32):
  rng = np.random.default_rng(0)
  return tuple(jnp.asarray(rng.normal(size=(b, size, heads, d)), dtype) for size in (n, m, m, n))


def gradients(attend, *args):
  """Of q, k and v, the last of `args` being the weights of the sum."""
  return jax.grad(lambda *qkv: (attend(*qkv) * args[-1]).sum().astype(jnp.float32), (0, 1, 2))(*args[:3])


@functools.partial(jax.jit, static_argnums=0)
def both(attend, *args):
  """The output, and the gradients of q, k and v."""
  return attend(*args[:3]), gradients(attend, *args)


def assert_equal(ours, theirs):
  (out, slopes), (want, wanted) = ours, theirs
  np.testing.assert_allclose(out, want, atol=2e-6)
  for mine, other in zip(slopes, wanted, strict=True):
    np.testing.assert_allclose(mine, other, atol=2e-6 * np.abs(other).max() + 2e-6)


@pytest.mark.parametrize("b, n, m", [(1, 48, 48), (3, 50, 50), (1, 7, 50), (3, 50, 7), (1, 1, 20)])
def test_blocks_equal_the_library_forward_and_backward(blocks, b, n, m):
  args = inputs(b, n, m)
  assert_equal(both(ops.attention, *args), both(library, *args))


@pytest.mark.parametrize("b", [1, 2])
def test_causal_blocks_equal_the_library(blocks, b):
  args = inputs(b, 40, 40)
  assert_equal(both(functools.partial(ops.attention, causal=True), *args),
               both(functools.partial(library, is_causal=True), *args))


def test_scores_far_below_their_bound_are_computed_again(blocks):
  q, k, v, weight = inputs(1, 20, 20)
  q, k = q + 12, k - 12  # each score is near -288, its bound near 288
  assert dot_product._by_queries(q, k, v, causal=False)[2] < dot_product.LEAST
  ours = both(ops.attention, q, k, v, weight)
  with jax.enable_x64(True):
    exact = both(library, *(np.asarray(x, np.float64) for x in (q, k, v, weight)))
  rounding = 4 * 512 * np.finfo(np.float32).eps  # of product, scale, maximum and sum, each of them near 288 to 512
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=rounding * np.abs(b).max()), ours, exact)


@pytest.mark.parametrize("causal", [False, True])
def test_float64_stays_float64(blocks, causal):
  with jax.enable_x64(True):
    q, k, v, _ = inputs(1, 20, 20, dtype=jnp.float64)
    got = np.asarray(jax.jit(functools.partial(ops.attention, causal=causal))(q, k, v))
  q, k, v = (np.asarray(x)[0] for x in (q, k, v))
  shares = np.exp(np.einsum("nhd,mhd->hnm", q, k) / 2) * (np.tri(20) if causal else 1)
  want = np.einsum("hnm,mhd->nhd", shares / shares.sum(-1, keepdims=True), v)
  np.testing.assert_allclose(got[0], want, rtol=0, atol=1e-14)


def test_exp2_equals_the_library():
  x = np.concatenate([np.linspace(-126, 127, 4001, endpoint=False), [-0.5, 0.5, 1.5, -1e30]]).astype(np.float32)
  np.testing.assert_allclose(jax.jit(dot_product._exp2)(x), np.exp2(np.maximum(x, -126)), rtol=3e-7)


def test_bfloat16_stays_near_float32_with_the_softmax_in_float32(blocks):
  q, k, v, weight = inputs(2, 50, 50, dtype=jnp.bfloat16)
  exact = [x.astype(np.float32) for x in (q, k, v)]
  (got, slopes), (want, wanted) = both(ops.attention, q, k, v, weight), both(library, *exact, weight.astype(np.float32))
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(got.astype(np.float32), want, atol=0.004 * np.abs(want).max())  # bfloat16 has 8 bits
  for ours, theirs in zip(slopes, wanted, strict=True):
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(np.float32), theirs, atol=0.01 * np.abs(theirs).max())


def test_large_scores_do_not_overflow(blocks):
  q, k, v, weight = inputs(1, 20, 20)
  q = 1e4 * q
  np.testing.assert_allclose(ops.attention(q, k, v), library(q, k, v), atol=1e-5)
  assert all(np.isfinite(g).all() for g in both(ops.attention, q, k, v, weight)[1])


def test_blocks_under_vmap(blocks):
  q, k, v, _ = (jnp.stack([x, 2 * x]) for x in inputs(2, 20, 33))
  np.testing.assert_allclose(jax.vmap(ops.attention)(q, k, v), jax.vmap(library)(q, k, v), atol=2e-6)


def test_clips_on_several_devices_stay_where_they_are(blocks):
  q, k, v, weight = inputs(4, 50, 50)
  mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
  spread = NamedSharding(mesh, PartitionSpec("data"))
  run = jax.jit(lambda *args: (ops.attention(*args[:3]), *gradients(ops.attention, *args)), out_shardings=spread)
  args = jax.device_put((q, k, v, weight), spread)
  text = run.lower(*args).compile().as_text()
  assert text is not None and "all-gather" not in text and "all-to-all" not in text
  want = (library(q, k, v), *gradients(library, q, k, v, weight))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), run(*args), want)


def test_large_attention_takes_blocks_on_a_cpu_and_the_library_elsewhere(monkeypatch):
  q, k, v, weight = inputs(1, 40, 40)
  run = jax.jit(lambda *args: gradients(ops.attention, *args))
  assert "stablehlo.while" not in run.lower(q, k, v, weight).as_text()  # small
  monkeypatch.setattr(dot_product, "SMALL", 0)
  jax.clear_caches()
  for platform, loops in (("cpu", True), ("cuda", False), ("tpu", False)):
    text = run.trace(q, k, v, weight).lower(lowering_platforms=(platform,)).as_text()
    assert ("stablehlo.while" in text) is loops


def test_neither_direction_holds_all_scores(monkeypatch):
  q, k, v, weight = inputs(2, 512, 512)
  monkeypatch.setattr(dot_product, "SMALL", 0)
  monkeypatch.setattr(dot_product, "PIECE", 2**14)
  compiled = jax.jit(lambda *args: gradients(ops.attention, *args)).lower(q, k, v, weight).compile()
  memory = compiled.memory_analysis()
  assert memory is not None and memory.temp_size_in_bytes < 4 * 2 * 2 * 512 * 512  # 4 bytes, 2 clips, 2 heads
