"""What holds for every family at variant tiny: names, tokens, heads, order of frames, number types."""
import functools
import inspect
import re

import jax
import numpy as np
import pytest

from tests import drawn
from vft import trees
from vft.models import FAMILIES, make, pooling

PER_FRAME = ("vgg16", "efficientnet_lite", "resnet", "vit", "convnext")  # with mean pooling these know no order
SHAPE = (1, 4, 32, 32, 3)


@functools.cache
def tiny(name, **fields):
  model = make(name, variant="tiny", num_classes=3, **fields)
  variables = drawn.variables(model, np.zeros(SHAPE, np.float32))
  return model, variables, jax.jit(functools.partial(model.apply, variables))


def clip(seed=0):
  return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("name", FAMILIES)
def test_top_names_are_the_blocks_in_order_of_depth(name):
  model, variables, _ = tiny(name)
  flat = trees.flatten(variables["params"])
  tops = list(dict.fromkeys(n.split("/")[0] for n in flat))
  assert set(tops) - {"head"} == set(model.blocks)
  assert len(set(model.blocks)) == len(model.blocks) and len(model.blocks) > 1
  for n in flat:  # flax's automatic names (Dense_0) move when a line is added; block_3 would sort after block_12
    assert n == n.lower() and not re.search(r"(^|/)(block|layer)_\d(/|$)", n), n


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_are_prefix_and_grid(name):
  model, variables, _ = tiny(name)
  grid = []
  def run(video):
    tokens, size = model.apply(variables, video, method="features")
    grid.append(size)
    return tokens
  shape = jax.eval_shape(run, clip()).shape
  t, h, w = grid[0]
  assert shape[0] == 1 and shape[1] - t * h * w in (0, 1, t)
  assert all(isinstance(n, int) for n in grid[0])


@pytest.mark.parametrize("name", FAMILIES)
def test_the_order_of_frames_counts_where_it_should(name):
  _, _, run = tiny(name, pool="mean")
  video = clip()
  difference = np.abs(run(video)["label"] - run(video[:, [0, 3, 2, 1]])["label"]).max()
  assert difference < 1e-5 if name in PER_FRAME else difference > 1e-4


@pytest.mark.parametrize("kind", pooling.KINDS)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_head_on_every_trunk_with_several_tasks(name, kind):
  model = make(name, variant="tiny", tasks={"grade": 3, "view": 2}, head=kind, hidden=(8,), depth=2)
  logits, _ = jax.eval_shape(functools.partial(model.init_with_output, jax.random.key(0)), clip())
  assert {task: x.shape for task, x in logits.items()} == {"grade": (1, 3), "view": (1, 2)}


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_gives_finite_float32_logits_near_those_of_float32(name):
  model, variables, run = tiny(name, pool="mean")  # compiled above
  low = model.clone(dtype=jax.numpy.bfloat16)
  logits = jax.jit(low.apply)(variables, clip())["label"]
  assert jax.eval_shape(functools.partial(low.apply, method="features"), variables, clip())[0].dtype == low.dtype
  want = run(clip())["label"]
  assert logits.dtype == np.float32 and np.isfinite(logits).all()
  assert np.abs(logits - want).max() < 0.1 * max(np.abs(want).max(), 1)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_family_says_what_it_is(name):
  family = FAMILIES[name]
  assert family.family == name and {"", "tiny"} <= set(family.variants)
  assert re.search(r"arXiv:\d{4}\.\d{4,5}", inspect.getmodule(family).__doc__), "name the paper"
