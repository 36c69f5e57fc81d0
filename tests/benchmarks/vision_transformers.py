"""VideoMAE-S on a CPU against the library's lowerings and transformers, and against a matrix product."""
import contextlib
import functools
import importlib.util
from collections.abc import Callable
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from tests.benchmarks.timing import Pair, compiled, features
from vft.models import transformer
from vft.models.ops import dot_product
from vft.models.videomae import VideoMAE

SHAPE = (1, 16, 224, 224, 3)  # of the video
RATE = 1e-3


def library() -> contextlib.ExitStack:
  """The library's own attention, dense layers, gelu and layer norm in place of ours."""
  stack = contextlib.ExitStack()
  stack.enter_context(mock.patch.object(dot_product, "SMALL", float("inf")))
  for name, layer in (("Dense", nn.Dense), ("LayerNorm", nn.LayerNorm)):
    stack.enter_context(mock.patch.object(transformer, name, layer))
  gelu = functools.partial(nn.gelu, approximate=False)
  stack.enter_context(mock.patch.dict(transformer.ACTIVATIONS, gelu=gelu))
  return stack


def videomae_cpu() -> list[tuple[str, Pair]]:
  """VideoMAE-S features, and a step of plain gradient descent on all parameters, against the library's and torch's."""
  f, variables, video = features("videomae", SHAPE, variant="S/16x2")

  def step(variables, video):
    slopes = jax.grad(lambda p: (f(p, video) ** 2).mean())(variables)
    return jax.tree.map(lambda p, g: p - RATE * g, variables, slopes)
  pairs = [(name, {"ours": compiled(g, variables, video),
                   "library": compiled(g, variables, video, lowering=library())})
           for name, g in (("forward", f), ("training step", step))]
  if importlib.util.find_spec("transformers"):
    for (_, pair), peer in zip(pairs, transformers_runs(video), strict=True):
      pair["transformers"] = peer
  return pairs


def transformers_runs(video: np.ndarray) -> tuple[Callable[[], object], Callable[[], object]]:
  """transformers' VideoMAE-S with the attention that it takes by itself: mean token, training step."""
  torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
  model = transformers.VideoMAEModel(transformers.VideoMAEConfig(
      hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536))
  optimizer = torch.optim.SGD(model.parameters(), lr=RATE)
  clips = torch.from_numpy(video).movedim(-1, 2)

  def step():
    optimizer.zero_grad()
    loss = (model(clips).last_hidden_state.mean(1) ** 2).mean()
    loss.backward()
    optimizer.step()
    return loss.detach().numpy()
  return torch.no_grad()(lambda: model(clips).last_hidden_state.mean(1).numpy()), step


def share() -> list[tuple[str, Pair]]:
  """VideoMAE-S features against products of 2048 x 2048 with as many FLOPs: the ratio is the share of their rate."""
  f, variables, video = features("videomae", SHAPE, variant="S/16x2")
  size = VideoMAE.variants["S/16x2"]
  width, depth, mlp, tokens = size.width, size.depth, size.mlp, int(np.prod(size.grid))
  flops = depth * (8 * tokens * width**2 + 4 * tokens * width * mlp + 4 * tokens**2 * width)
  flops += 2 * tokens * (2 * 16 * 16 * 3) * width  # the embedding
  whole, rest = divmod(flops // (2 * 2048**2), 2048)  # products, rows of one more
  square = np.random.default_rng(0).normal(size=(2048, 2048)).astype(np.float32)
  product, last = (compiled(jnp.matmul, square[:rows], square) for rows in (2048, rest))
  return [("forward", {"ours": compiled(f, variables, video),
                       "product": lambda: [jax.block_until_ready(run()) for run in [product] * whole + [last]]})]
