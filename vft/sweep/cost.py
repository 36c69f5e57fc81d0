"""What a training step of a config costs, counted from its lowered program: no weights, no data."""
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vft import forward, lora, optim, startup, trees
from vft.tasks import Task


def step_gflop(config: ConfigDict, tasks: tuple[Task, ...]) -> float | None:
  """Forward and backward pass of one batch, as DESIGN counts; on cached features without the trunk's one pass.

  None for sequences, whose length is that of the data. The loss and the optimiser are left out: a few operations for
  each parameter.
  """
  if config.sequence.unit != "clip":
    return None
  model, d = startup.make_model(config, tasks), config.data
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, d.num_frames, d.size, d.size, d.channels)))
  params, stats = (trees.flatten(shapes.get(kind, {})) for kind in ("params", "batch_stats"))
  params |= lora.make(params, config)
  groups = optim.make_groups(config)
  trained = {name for name, group in trees.assign(params, config.rules).items() if groups[group]["train"]}
  in_trunk = any(not name.startswith("head/") for name in trained)
  pixels = forward.make_pixels(config, model)
  one = jax.ShapeDtypeStruct((1,), jnp.int32)
  batch: Any = {"video": jax.ShapeDtypeStruct((1, 1, d.num_frames, d.resize, d.resize, 3), jnp.uint8), "row": one,
                "copy": one}
  if not in_trunk and config.features.cache:
    batch = {"tokens": jax.eval_shape(lambda p, s, b: forward.pooled_tokens(model, p, s, b, pixels, True),
                                      params, stats, batch)}
  moving, frozen = trees.split(params, trained)

  def total(moving, frozen, stats, batch):
    out, _ = forward.logits(model, {**frozen, **moving}, stats, batch, pixels, train=True, train_trunk=in_trunk,
                            rng=jax.random.key(0))
    return sum(x.sum() for x in out.values())
  lowered = jax.jit(jax.grad(total)).trace(moving, frozen, stats, batch).lower(lowering_platforms=("tpu",))
  counted: Any = lowered.cost_analysis()
  return counted["flops"] * config.train.batch / 1e9
