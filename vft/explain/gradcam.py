"""Grad-CAM (arXiv:1610.02391, eq. 1 and 2) at the output of a named block of a convolutional model."""
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.errors import ConfigError, did_you_mean
from vft.explain.subject import Subject, Target


def gradcam(subject: Subject, video: np.ndarray, block: str = "") -> np.ndarray:
  """Normalised video (B, T, H, W, C) -> (B, T', H', W') at the grid of `block`, by default the last one; none < 0.

  Raises ConfigError for a block that the model has not, or whose output is no grid of channels.
  """
  blocks = subject.model.blocks
  if block and block not in blocks:
    raise ConfigError(f"--method=gradcam:{block}: {subject.model.family} has no such block; known: {', '.join(blocks)}"
                      f"{did_you_mean(block, blocks)}")
  return np.asarray(_gradcam(subject.model, subject.target, block or blocks[-1], subject.variables, video))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _gradcam(model: Any, target: Target, block: str, variables: Any, video: jax.Array) -> jax.Array:
  def run(added: jax.Array) -> tuple[jax.Array, jax.Array]:
    found = []

    def add(call, args, kwargs, context):
      out = call(*args, **kwargs)
      if context.module.path != (block,) or context.method_name != "__call__":
        return out
      found.append(out)
      return out + added
    with nn.intercept_methods(add):
      logits = model.apply(variables, video)
    if found[0].ndim < 4:
      raise ConfigError(f"Grad-CAM needs channels on a grid, but {block} of {model.family} gives tokens: use "
                        "--method=rollout or --method=attention, or occlusion where these are refused too.")
    return target.score(logits).sum(), found[0]
  shape = jax.eval_shape(lambda: run(jnp.zeros(()))[1]).shape
  gradient, values = jax.grad(run, has_aux=True)(jnp.zeros(shape))
  # Models that see each frame by itself have the frames of a clip one after the other.
  values, gradient = (x.reshape(len(video), -1, *x.shape[-3:]).astype(jnp.float32) for x in (values, gradient))
  weights = gradient.mean(axis=(1, 2, 3), keepdims=True)  # eq. 1, over time too
  return nn.relu((weights * values).sum(axis=-1))  # eq. 2
