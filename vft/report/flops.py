"""What a forward pass of one clip costs, counted from its lowered program: no weights, no data."""
from typing import Any

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from vft import forward, startup, trees
from vft.errors import VftError
from vft.tasks import Task


def clip_gflop(config: ConfigDict, tasks: tuple[Task, ...]) -> float | None:
  """Of one view, as DESIGN counts; of sequences the trunk's share. None where the weights are no longer at hand."""
  try:
    model, d = startup.make_model(config, tasks), config.data
  except VftError:
    return None
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, d.num_frames, d.size, d.size, d.channels)))
  params, stats = (trees.flatten(shapes.get(kind, {})) for kind in ("params", "batch_stats"))
  pixels, one = forward.make_pixels(config, model), jax.ShapeDtypeStruct((1,), jnp.int32)
  batch = {"video": jax.ShapeDtypeStruct((1, 1, d.num_frames, d.resize, d.resize, 3), jnp.uint8), "row": one,
           "copy": one}

  def run(params: Any, stats: Any, batch: Any) -> Any:
    if config.sequence.unit != "clip":
      return forward.pooled_tokens(model, params, stats, batch, pixels, False)
    return forward.logits(model, params, stats, batch, pixels)[0]
  counted: Any = jax.jit(run).trace(params, stats, batch).lower(lowering_platforms=("tpu",)).cost_analysis()
  return counted["flops"] / 1e9
