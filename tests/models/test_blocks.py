"""Blocks in training: drop path, and what they keep for their backward pass."""
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from tests import drawn
from vft import memory
from vft.errors import ConfigError
from vft.models import FAMILIES, make
from vft.models.layers import drop_path
from vft.models.ops import dot_product
from vft.models.videomae import Size, VideoMAE

SHAPE = (2, 4, 32, 32, 3)
RESIDUAL = [name for name, family in FAMILIES.items() if family.residual]


def clip():
  return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


def tiny(name, **fields):
  model = make(name, variant="tiny", num_classes=3, **fields)
  return model.clone(trained_blocks=model.blocks)


class Dropped(nn.Module):
  """Drop path alone."""
  @nn.compact
  def __call__(self, x):
    return drop_path(0.25, True, x)


def test_a_branch_is_left_out_whole_and_its_expectation_stays():
  out = np.asarray(Dropped().apply({}, jnp.ones((4000, 2, 3)), rngs={"dropout": jax.random.key(0)}))
  kept = out[:, 0, 0] > 0
  np.testing.assert_array_equal(out, np.where(kept, np.float32(1 / 0.75), 0).reshape(-1, 1, 1) * np.ones((1, 2, 3)))
  assert abs(out.mean() - 1) < 0.03  # three deviations: (0.25 / 0.75 / 4000) ** 0.5 = 0.009


@pytest.mark.parametrize("name", RESIDUAL)
def test_the_rate_rises_evenly_to_that_of_the_last_block_and_frozen_ones_have_none(name):
  model = tiny(name, drop_path=0.4)
  residual = [block for block in model.blocks if model.residual in block]
  np.testing.assert_allclose([model.block_drop(b) for b in residual], np.linspace(0, 0.4, len(residual)), atol=1e-12)
  assert model.clone(trained_blocks=residual[:-1]).block_drop(residual[-1]) == 0


@functools.cache
def dropouts(name, train):
  """How often a model draws random numbers."""
  model = tiny(name, drop_path=0.4)
  variables = jax.eval_shape(model.init, jax.random.key(0), clip())
  text = str(jax.make_jaxpr(lambda v, key: model.apply(v, clip(), train, rngs={"dropout": key}))(
      variables, jax.random.key(0)))
  return text.count("random_bits")


@pytest.mark.parametrize("name", RESIDUAL)
def test_branches_are_dropped_in_training_only(name):
  assert dropouts(name, True) > 0 and dropouts(name, False) == 0


@pytest.mark.parametrize("name", sorted({*FAMILIES} - {*RESIDUAL}))
def test_families_without_branches_refuse_drop_path(name):
  with pytest.raises(ConfigError, match=f"{name} has no residual branches.*videomae"):
    make(name, variant="tiny", num_classes=3, drop_path=0.1)


def gradient(model, variables):
  """Of all parameters, dropping branches; not yet compiled."""
  def loss(params, key):
    logits = model.apply({**variables, "params": params}, clip(), True, rngs={"dropout": key})["label"]
    return (logits**2).sum()
  return jax.jit(jax.grad(loss))


def remats(jaxpr):
  """Parts of a program that are computed again."""
  return str(jaxpr).count("remat2[")


@pytest.mark.parametrize("name", FAMILIES)
def test_every_block_of_every_family_is_computed_again_under_the_same_names(name):
  plain, model = tiny(name), tiny(name, remat="blocks")
  want, variables = (jax.eval_shape(m.init, jax.random.key(0), clip()) for m in (plain, model))
  assert jax.tree.structure(variables) == jax.tree.structure(want)
  plain_count, count = (remats(jax.make_jaxpr(lambda v, m=m: m.apply(v, clip()))(want)) for m in (plain, model))
  once = ("embed", "norm", "time_embed", "time_norm")
  inner = {"vgg16": 5, "i3d": 12}.get(name, len([b for b in model.blocks if b not in once]))
  assert count - plain_count == inner


@pytest.mark.parametrize("name", ["videomae", "vgg16"])  # of those that wrap a class, and a method
def test_gradients_are_the_same_whatever_is_kept(name):
  fields = {"drop_path": 0.5} if FAMILIES[name].residual else {}
  variables = drawn.variables(tiny(name), clip())
  want, *others = (gradient(tiny(name, remat=r, **fields), variables)(variables["params"], jax.random.key(3))
                   for r in ("none", "dots", "blocks"))
  scale = max(float(np.abs(x).max()) for x in jax.tree.leaves(want))
  assert scale > 1e-3
  for got in others:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6 * scale), want, got)


def test_products_that_are_kept_are_those_with_weights_and_no_scores(monkeypatch, capsys):
  monkeypatch.setattr(dot_product, "SMALL", 0)
  monkeypatch.setitem(VideoMAE.variants, "tiny", Size(32, 2, 2, 96, 4, (2, 8, 8)))  # 128 tokens
  model, one = tiny("videomae", remat="dots"), clip()[:1]
  variables = jax.eval_shape(model.init, jax.random.key(0), one)
  jax.ad_checkpoint.print_saved_residuals(lambda v: model.apply(v, one)["label"].sum(), variables)
  kept = capsys.readouterr().out
  assert kept.count("named 'product'") == 2 * 5 and "128,128" not in kept  # q, k, v, out and fc1 of a block


def test_temporaries_fall_from_all_to_products_to_nothing(monkeypatch):
  monkeypatch.setitem(VideoMAE.variants, "tiny", Size(32, 6, 2, 128, 4, (2, 8, 8)))
  variables = jax.eval_shape(tiny("videomae").init, jax.random.key(0), clip())
  def temporaries(remat):
    program = gradient(tiny("videomae", remat=remat), variables).lower(variables["params"], jax.random.key(0))
    return memory.forecast(program.compile(compiler_options=memory.compiler_options(remat))).temporaries
  sizes = [temporaries(remat) for remat in ("none", "dots", "blocks")]
  assert sizes[0] > 1.3 * sizes[1] > 1.3 * 1.3 * sizes[2], sizes
