"""Heads: widths, pooling that can be kept, and plain errors."""
import itertools

import jax
import numpy as np
import pytest

from vft import trees
from vft.errors import ConfigError
from vft.models import heads, make

GRID = (2, 4, 4)
TOKENS = np.random.default_rng(0).normal(size=(3, 32, 8)).astype(np.float32)


@pytest.mark.parametrize("hidden", [(), (5,), (7, 6, 5)])
def test_mlp_has_the_widths_asked_for(hidden):
  head = heads.Head((("label", 4),), heads.Spec("mlp", hidden=hidden))
  params = trees.flatten(head.init(jax.random.key(0), TOKENS, GRID)["params"])
  kernels = [a.shape for name, a in sorted(params.items()) if name.endswith("kernel")]
  widths = (8, *hidden, 4)
  assert kernels == list(itertools.pairwise(widths))
  assert not params["label/bias"].any()


SPECS = ([heads.Spec(kind, pool, "mean", (5,), 0.0, 2) for kind in heads.KINDS for pool in heads.POOLS]
         + [heads.Spec("mlp", temporal=temporal, hidden=(5,), norm=1e-5) for temporal in heads.TEMPORAL])


@pytest.mark.parametrize("spec", SPECS, ids=lambda s: f"{s.kind}-{s.pool}-{s.temporal}")
@pytest.mark.parametrize("prefix", [1, 2])  # a class token of the clip, one of each frame
def test_pooled_tokens_give_the_identical_logits(spec, prefix):
  head, tokens = heads.Head((("grade", 3), ("view", 2)), spec), np.concatenate([TOKENS[:, :prefix] + 1, TOKENS], axis=1)
  variables = head.init(jax.random.key(0), tokens, GRID)
  pooled = head.apply(variables, tokens, GRID, method="pool")
  full, kept = head.apply(variables, tokens, GRID), head.apply(variables, pooled, (pooled.shape[1], 1, 1))
  assert {k: v.shape for k, v in full.items()} == {"grade": (3, 3), "view": (3, 2)}
  for task in full:
    np.testing.assert_array_equal(full[task], kept[task])


@pytest.mark.parametrize("pool, shape", [("mean", (3, 2, 8)), ("cls", (3, 2, 8)), ("cls_mean", (3, 2, 16)),
                                         ("flatten", (3, 2, 128)), ("windows", (3, 1, 8))])
def test_a_frame_becomes_a_vector(pool, shape):
  tokens = np.concatenate([100 * TOKENS[:, :2], TOKENS], axis=1)
  frames = heads.Head((("label", 2),), heads.Spec("tcn", pool)).apply({}, tokens, GRID, method="pool")
  assert frames.shape == shape
  want = {"mean": TOKENS.reshape(3, 2, 16, 8).mean(2), "cls": 100 * TOKENS[:, :2], "flatten": TOKENS.reshape(3, 2, 128)}
  if pool in want:
    np.testing.assert_allclose(frames, want[pool], rtol=1e-5)


def test_a_trunk_without_a_class_token_says_so():
  with pytest.raises(ConfigError, match=r"no class token.*pool=mean"):
    heads.Head((("label", 2),), heads.Spec(pool="cls")).init(jax.random.key(0), TOKENS, GRID)


def test_original_pools_windows_of_two_frames_and_then_time():
  frames = np.repeat(np.asarray([1.0, 2.0, 5.0], np.float32), 4).reshape(1, 12, 1)  # 3 frames of 2 x 2, one channel
  pooled = heads.Head((("label", 2),), heads.Spec(pool="windows")).apply({}, frames, (3, 2, 2), method="pool")
  np.testing.assert_allclose(pooled, [[[(1.5 + 3.5) / 2]]], rtol=1e-6)


def test_dropout_acts_in_training_only():
  head = heads.Head((("label", 2),), heads.Spec(dropout=0.5))
  variables = head.init(jax.random.key(0), TOKENS, GRID)
  quiet = head.apply(variables, TOKENS, GRID)["label"]
  loud = head.apply(variables, TOKENS, GRID, True, rngs={"dropout": jax.random.key(1)})["label"]
  assert np.abs(quiet - loud).max() > 1e-3
  keyed = head.apply(variables, TOKENS, GRID, rngs={"dropout": jax.random.key(1)})["label"]
  np.testing.assert_array_equal(quiet, keyed)


@pytest.mark.parametrize("wrong, words", [
    (dict(name="i3"), "known: 'i3d'; did you mean 'i3d'"),
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
