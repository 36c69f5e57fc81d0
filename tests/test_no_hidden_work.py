"""What is frozen costs nothing: a step's FLOPs, gradients and optimiser slots are those of what trains.

Checkpoint bytes and the number of compilations are counted in whole runs, in test_stages.py.
"""
from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from vft import forward, models, objective, optim, stages, train, trees
from vft.models import vgg16
from vft.models.videomae import Size, VideoMAE
from vft.tasks import Task

TASK = Task(classes=("a", "b", "c"))


class Chain(VideoMAE):
  """Four blocks wide enough that matrix products are nearly all of the work."""
  variants: ClassVar[dict[str, Size]] = {"": Size(512, 4, 8, 2048)}


def vgg16_products(pixels, frames):
  """Forward FLOPs of each convolution: [(all of it, the part whose input is the block's own input)].

  A 3 x 3 window over n x n pixels with zeros around it meets 3 n - 2 real ones along an axis.
  """
  widths, found, before = [w for w, depth in vgg16.STAGES for _ in range(depth)], [], 3
  side = [pixels >> i for i, (_, depth) in enumerate(vgg16.STAGES) for _ in range(depth)]
  for width, n in zip(widths, side, strict=True):
    flops = 2 * frames * before * width * (3 * n - 2) ** 2
    found.append((flops, flops))
    before = width
  return found


def videomae_products(clips, tokens, size, patch=2 * 16 * 16 * 3):
  """The same of a transformer: patches to tokens, then q, k, v, scores, weighted sums, out and the two of the MLP.

  No product of a block takes its own input: a norm with parameters stands before each.
  """
  dense = 2 * clips * tokens * size.width
  block = dense * (4 * size.width + 2 * size.mlp + 2 * tokens)
  return [(dense * patch, dense * patch)] + [(block, 0)] * size.depth


def expected(products, trained):
  """Forward of all; backward of what trains: each product once for either factor, but not for the first one's input."""
  moving = products[len(products) - trained:]
  return sum(flops for flops, _ in products) + 2 * sum(flops for flops, _ in moving) - sum(e for _, e in moving[:1])


def make(model, shape, trained):
  """(step, state, batch) as shapes, with the last `trained` blocks and the head to train."""
  c = default.get_config()
  c.data.update(num_frames=shape[1], resize=shape[2], size=shape[2])
  moving, rest = model.blocks[len(model.blocks) - trained:], model.blocks[:len(model.blocks) - trained]
  c.groups = dict(head=dict(train=True)) | ({"trunk": dict(train=False)} if rest else {})
  c.rules = ((f"({'|'.join((*moving, 'head'))})/.*", "head"), *([(".*", "trunk")] if rest else []))
  variables = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, *shape[1:])))
  params, stats = (trees.flatten(variables.get(k, {})) for k in ("params", "batch_stats"))
  (stage,) = stages.make(c, model, params, stats, 10)
  run = partial(forward.logits, model, pixels=forward.make_pixels(c, model), train=True, train_trunk=trained > 0)
  loss = objective.make_loss(c, (TASK,), {"label": np.arange(3)})
  step = train.make_train_step(run, loss, stage.tx, stage.trained)
  state = jax.eval_shape(lambda p, s: train.TrainState(jnp.zeros((), jnp.int32), p, s, stage.tx.init(p)), params, stats)
  batch = jax.eval_shape(lambda: {
      "video": jnp.zeros((shape[0], 1, *shape[1:]), jnp.uint8), "label": {"label": jnp.zeros(shape[0], jnp.int32)},
      "row": jnp.zeros(shape[0], jnp.int32), "copy": jnp.zeros(shape[0], jnp.int32), "mask": jnp.ones(shape[0], bool)})
  return stage, step, state, batch


def flops(function, *args):
  return jax.jit(function).trace(*args).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]


CASES = {
    "vgg16": (models.make("vgg16", num_classes=3), (2, 1, 64, 64, 3), vgg16_products(64, 2)),
    "videomae": (Chain(spec=VideoMAE.original), (16, 4, 64, 64, 3), videomae_products(16, 32, Chain.variants[""])),
}


@pytest.mark.parametrize("trained", [0, 1, 2, None], ids=lambda k: "all" if k is None else str(k))
@pytest.mark.parametrize("family", CASES)
def test_a_step_costs_the_forward_pass_and_the_backward_of_what_trains(family, trained):
  model, shape, products = CASES[family]
  trained = len(products) if trained is None else trained
  _, step, state, batch = make(model, shape, trained)
  got, want = flops(step, state, batch), expected(products, trained)
  assert got == pytest.approx(want, rel=0.05)


@pytest.mark.parametrize("trained", [0, 1, 2])
def test_frozen_leaves_have_neither_gradients_nor_slots_and_pass_through_untouched(trained):
  model, shape, _ = CASES["vgg16"]
  stage, step, state, batch = make(model, shape, trained)
  assert {k.split("/")[0] for k in stage.trained} == {"head", *model.blocks[len(model.blocks) - trained:]}
  slots = optim.nbytes(state.opt_state)
  assert slots == 2 * optim.nbytes({k: state.params[k] for k in stage.trained})  # of adamw
  jaxpr = jax.make_jaxpr(step)(state, batch).jaxpr
  inner = next(e for e in jaxpr.eqns if e.primitive.name in ("jit", "pjit")).params["jaxpr"].jaxpr
  for i, name in enumerate(sorted(state.params), 1):  # the leaves of a state: the step, then parameters by name
    assert (inner.outvars[i] is inner.invars[i]) == (name not in stage.trained), name
  kernels = {k: x.shape for k, x in state.params.items() if k.endswith("kernel")}
  made = {v.aval.shape for e in inner.eqns for v in e.outvars}
  assert {kernels[k] for k in kernels if k in stage.trained} <= made  # their gradients
  assert not made & ({*kernels.values()} - {kernels[k] for k in kernels if k in stage.trained})
