"""The CPU's blocks of queries equal the library's attention, forward and backward."""
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


@pytest.mark.parametrize("n, m", [(48, 48), (50, 50), (7, 50), (50, 7), (1, 20)])
@pytest.mark.parametrize("b", [1, 3])
def test_blocks_equal_the_library_forward_and_backward(blocks, b, n, m):
  q, k, v, weight = inputs(b, n, m)
  np.testing.assert_allclose(ops.attention(q, k, v), library(q, k, v), atol=2e-6)
  for ours, theirs in zip(gradients(ops.attention, q, k, v, weight), gradients(library, q, k, v, weight), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=2e-6 * np.abs(theirs).max() + 2e-6)


def test_bfloat16_stays_near_float32_with_the_softmax_in_float32(blocks):
  q, k, v, weight = inputs(2, 50, 50, dtype=jnp.bfloat16)
  exact = [x.astype(np.float32) for x in (q, k, v)]
  got, want = ops.attention(q, k, v), library(*exact)
  assert got.dtype == jnp.bfloat16
  np.testing.assert_allclose(got.astype(np.float32), want, atol=0.004 * np.abs(want).max())  # bfloat16 has 8 bits
  for ours, theirs in zip(gradients(ops.attention, q, k, v, weight),
                          gradients(library, *exact, weight.astype(np.float32)), strict=True):
    assert ours.dtype == jnp.bfloat16
    np.testing.assert_allclose(ours.astype(np.float32), theirs, atol=0.01 * np.abs(theirs).max())


def test_large_scores_do_not_overflow(blocks):
  q, k, v, weight = inputs(1, 20, 20)
  q = 1e4 * q
  np.testing.assert_allclose(ops.attention(q, k, v), library(q, k, v), atol=1e-5)
  assert all(np.isfinite(g).all() for g in gradients(ops.attention, q, k, v, weight))


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
