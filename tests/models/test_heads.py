"""Heads: widths, pooling that can be kept, and plain errors."""
import itertools
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from jax import numpy as jnp

from tests import drawn, golden
from tests.golden import probe
from vft import trees
from vft.errors import ConfigError
from vft.models import heads, make, pooling, temporal

GRID = (2, 4, 4)
TOKENS = np.random.default_rng(0).normal(size=(3, 32, 8)).astype(np.float32)


@pytest.mark.parametrize("hidden", [(), (5,), (7, 6, 5)])
def test_mlp_has_the_widths_asked_for(hidden):
  head = heads.Head((("label", 4),), pooling.Spec("mlp", hidden=hidden))
  params = trees.flatten(head.init(jax.random.key(0), TOKENS, GRID)["params"])
  kernels = [a.shape for name, a in sorted(params.items()) if name.endswith("kernel")]
  widths = (8, *hidden, 4)
  assert kernels == list(itertools.pairwise(widths))
  assert not params["label/bias"].any()


SPECS = ([pooling.Spec(kind, pool, "mean", (5,), 0.0, 2) for kind in pooling.KINDS for pool in pooling.POOLS]
         + [pooling.Spec("mlp", temporal=temporal, hidden=(5,), norm=1e-5) for temporal in pooling.TEMPORAL])


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.pool}-{s.temporal}")
@pytest.mark.parametrize("prefix", [1, 2])  # a class token of the clip, one of each frame
def test_pooled_tokens_give_the_identical_logits(spec, prefix):
  head, tokens = heads.Head((("grade", 3), ("view", 2)), spec), np.concatenate([TOKENS[:, :prefix] + 1, TOKENS], axis=1)
  variables = drawn.variables(head, tokens, GRID)
  pooled = pooling.pool(spec, tokens, GRID)
  full, kept = head.apply(variables, tokens, GRID), head.apply(variables, pooled, (pooled.shape[1], 1, 1))
  assert {k: v.shape for k, v in full.items()} == {"grade": (3, 3), "view": (3, 2)}
  for task in full:
    np.testing.assert_array_equal(full[task], kept[task])


@pytest.mark.parametrize("pool, shape", [("mean", (3, 2, 8)), ("cls", (3, 2, 8)), ("cls_mean", (3, 2, 16)),
                                         ("flatten", (3, 2, 128)), ("windows", (3, 1, 8))])
def test_a_frame_becomes_a_vector(pool, shape):
  tokens = np.concatenate([100 * TOKENS[:, :2], TOKENS], axis=1)
  frames = pooling.pool(pooling.Spec("tcn", pool), tokens, GRID)
  assert frames.shape == shape
  want = {"mean": TOKENS.reshape(3, 2, 16, 8).mean(2), "cls": 100 * TOKENS[:, :2], "flatten": TOKENS.reshape(3, 2, 128)}
  if pool in want:
    np.testing.assert_allclose(frames, want[pool], rtol=1e-5)


def test_a_trunk_without_a_class_token_says_so():
  with pytest.raises(ConfigError, match=r"no class token.*pool=mean"):
    heads.Head((("label", 2),), pooling.Spec(pool="cls")).init(jax.random.key(0), TOKENS, GRID)


def test_original_pools_windows_of_two_frames_and_then_time():
  frames = np.repeat(np.asarray([1.0, 2.0, 5.0], np.float32), 4).reshape(1, 12, 1)  # 3 frames of 2 x 2, one channel
  pooled = pooling.pool(pooling.Spec(pool="windows"), frames, (3, 2, 2))
  np.testing.assert_allclose(pooled, [[[(1.5 + 3.5) / 2]]], rtol=1e-6)


def test_dropout_acts_in_training_only():
  head = heads.Head((("label", 2),), pooling.Spec(dropout=0.5))
  variables = drawn.variables(head, TOKENS, GRID)
  quiet = head.apply(variables, TOKENS, GRID)["label"]
  loud = head.apply(variables, TOKENS, GRID, True, rngs={"dropout": jax.random.key(1)})["label"]
  assert np.abs(quiet - loud).max() > 1e-3
  keyed = head.apply(variables, TOKENS, GRID, rngs={"dropout": jax.random.key(1)})["label"]
  np.testing.assert_array_equal(quiet, keyed)


@pytest.mark.parametrize("kind", pooling.KINDS)
def test_dropout_of_every_head_acts_in_training_only(kind):
  head = heads.Head((("label", 2),), pooling.Spec(kind, dropout=0.5, depth=2))
  variables = drawn.variables(head, TOKENS, GRID)
  def run(train, seed):
    return head.apply(variables, TOKENS, GRID, train, rngs={"dropout": jax.random.key(seed)})["label"]
  assert np.abs(run(True, 1) - run(True, 2)).max() > 1e-3
  np.testing.assert_array_equal(run(False, 1), head.apply(variables, TOKENS, GRID)["label"])


def test_dropout_is_inside_the_transformer_and_the_tcn_too():
  for module in (temporal.TemporalTransformer(2, 0.5), temporal.Dilated(8, 2, 0.5)):
    variables = drawn.variables(module, TOKENS)
    one, two = (module.apply(variables, TOKENS, True, rngs={"dropout": jax.random.key(seed)}) for seed in (1, 2))
    assert np.abs(one - two).max() > 1e-3


@pytest.mark.parametrize("spec", [*(pooling.Spec(kind, hidden=(16,), depth=2) for kind in pooling.KINDS),
                                  *(pooling.Spec(temporal=how) for how in pooling.TEMPORAL)],
                         ids=lambda s: f"{s.kind}-{s.temporal}")
def test_every_head_learns_separable_tokens_for_each_task(spec):
  rng = np.random.default_rng(0)
  labels = {"grade": np.arange(24) % 3, "view": np.arange(24) // 12}
  tokens = rng.normal(size=(24, 8, 8))
  tokens[..., 0] += 2 * labels["grade"].reshape(-1, 1)
  tokens[..., 1] += 3 * labels["view"].reshape(-1, 1)
  tokens = tokens.astype(np.float32)
  head = heads.Head((("grade", 3), ("view", 2)), spec)
  params = drawn.variables(head, tokens, (2, 2, 2))["params"]
  tx = optax.adam(1e-2)

  def losses(params):
    logits = head.apply({"params": params}, tokens, (2, 2, 2))
    return {task: optax.softmax_cross_entropy_with_integer_labels(logits[task], labels[task]).mean() for task in labels}

  def step(carry, _):
    params, state = carry
    gradients = jax.grad(lambda p: sum(losses(p).values()))(params)
    updates, state = tx.update(gradients, state, params)
    return (optax.apply_updates(params, updates), state), losses(params)
  _, history = jax.jit(lambda carry: jax.lax.scan(step, carry, length=21))((params, tx.init(params)))
  first, last = ({task: float(x[i]) for task, x in history.items()} for i in (0, 20))
  assert all(last[task] < 0.8 * first[task] for task in labels), (first, last)


@pytest.mark.parametrize("spec, knows", [(pooling.Spec("transformer", hidden=(5,), depth=2), True),
                                         (pooling.Spec("tcn", hidden=(5,), depth=2), True),
                                         (pooling.Spec("attentive", depth=2), False),
                                         *((pooling.Spec("mlp", temporal=how), False) for how in pooling.TEMPORAL)],
                         ids=lambda s: f"{s.kind}-{s.temporal}" if isinstance(s, pooling.Spec) else "")
def test_which_heads_know_the_order_of_frames(spec, knows):
  frames = np.random.default_rng(0).normal(size=(2, 6, 8)).astype(np.float32)
  head = heads.Head((("label", 2),), spec)
  variables = drawn.variables(head, frames, (6, 1, 1))
  change = np.abs(head.apply(variables, frames, (6, 1, 1))["label"]
                  - head.apply(variables, frames[:, [0, 3, 2, 5, 4, 1]], (6, 1, 1))["label"]).max()
  assert change > 1e-3 if knows else change < 1e-5


@pytest.mark.parametrize("depth", [1, 4])
def test_the_attentive_probe_is_that_of_v_jepa_2(depth):
  with np.load(Path(golden.__file__).parent / "parts" / "attentive.npz") as file:
    found = probe.compare({name: file[f"{name}_{depth}"] for name in ("about", "pooled", "gradient")})
  assert max(found.values()) < 1e-4, found


def test_the_attentive_probe_begins_as_that_of_v_jepa_2():
  variables = jax.jit(temporal.AttentivePooler(4).init)(jax.random.key(0), np.zeros((1, 3, 128), np.float32))
  params = trees.flatten(variables["params"])
  want = {"query": 0.02, "cross/attention/q/kernel": 0.02, "cross/mlp/fc1/kernel": 0.02,
          "cross/mlp/fc2/kernel": 0.02 / 6**0.5, "block_00/attention/k/kernel": 0.02,
          "block_00/attention/out/kernel": 0.02 / 2**0.5, "block_02/mlp/fc2/kernel": 0.02 / 6**0.5}
  for name, deviation in want.items():
    assert abs(params[name].std() / deviation - 1) < (0.3 if name == "query" else 0.03), name
  assert not any(a.any() for name, a in params.items() if name.endswith("bias"))
  assert not any(name.startswith("cross/attention/out") for name in params)


@pytest.mark.parametrize("width, heads_of_it", [(1024, 16), (1280, 16), (1408, 16), (1664, 16), (768, 12), (384, 6),
                                                (192, 3), (2304, 16), (480, 6), (432, 6), (8, 1), (1000, 10)])
def test_heads_are_16_for_the_probes_of_v_jepa_2_and_of_about_64_channels_elsewhere(width, heads_of_it):
  assert temporal.num_heads(width) == heads_of_it


def test_attention_pool_is_a_weighted_mean_that_knows_no_order():
  pool, x = temporal.AttentionPool(), np.random.default_rng(0).normal(size=(3, 7, 4)).astype(np.float32)
  x[..., 0] = 1
  variables = pool.init(jax.random.key(0), x)
  pooled = pool.apply(variables, x)
  np.testing.assert_allclose(pooled[:, 0], 1, rtol=1e-6)  # the weights add up to one
  assert (pooled < x.max(axis=1) + 1e-6).all() and (pooled > x.min(axis=1) - 1e-6).all()
  assert np.abs(pooled - x.mean(axis=1)).max() > 1e-3
  np.testing.assert_allclose(pooled, pool.apply(variables, x[:, ::-1]), atol=1e-6)
  v, w = variables["params"]["v"]["kernel"], variables["params"]["w"]["kernel"]
  weights = np.exp(np.tanh(x @ v) @ w)
  np.testing.assert_allclose(pooled, (x * weights).sum(1) / weights.sum(1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("depth, reach", [(1, 1), (2, 3), (3, 7)])
def test_each_layer_of_the_tcn_doubles_what_it_sees(depth, reach):
  tcn, x = temporal.Dilated(8, depth), np.random.default_rng(0).normal(size=(1, 21, 4)).astype(np.float32)
  variables = tcn.init(jax.random.key(0), x)
  last = f"mix_{depth - 1:02}"

  def middle(x):
    _, state = tcn.apply(variables, x, capture_intermediates=lambda m, _: m.name == last, mutable="intermediates")
    return state["intermediates"][last]["__call__"][0][0, 10].sum()
  seen = np.flatnonzero(np.abs(jax.grad(middle)(jnp.asarray(x))).max(axis=(0, 2)))
  assert (seen.min(), seen.max()) == (10 - reach, 10 + reach)


@pytest.mark.parametrize("wrong, words", [
    (dict(name="i3"), "known: .*'i3d'.*; did you mean 'i3d'"),
    (dict(variant="tiney"), "did you mean 'tiny'"),
    (dict(head="liner"), "did you mean 'linear'"),
    (dict(dtype="float16"), "'bfloat16'"),
    (dict(bn="frozen"), "'stored', 'batch'"),
    (dict(tsm=True), "model.options is 'tsm'"),
    (dict(trained_blocks=("mixed_5d",)), "did you mean 'mixed_5"),
    (dict(num_classes=0), "num_classes"),
    (dict(tasks={"label": 2}), "not both"),
    (dict(dropout=1.0), "dropout"),
])
def test_a_wrong_choice_lists_what_is_known(wrong, words):
  with pytest.raises(ConfigError, match=words):
    make(**{"name": "i3d", "num_classes": 2, **wrong})
