"""Attention of transformers as a map: rollout (arXiv:2005.00928) and attention times its gradient (arXiv:2103.15679).

Both are products of N x N matrices of all layers, of which one row is wanted: that of the token that the head reads. So
a row is passed from the last layer to the first, and no product of matrices is ever made.
"""
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.errors import ConfigError
from vft.explain.subject import Subject, Target
from vft.models import ops

Layer = tuple[jax.Array, ...]  # q, k, v and the gradient of the heads' output, each (B', N, heads, d)


def rollout(subject: Subject, video: np.ndarray) -> np.ndarray:
  """Video (B, T, H, W, C) -> (B, T', H', W'): how much of each token reaches the head, whatever the target."""
  return _map(subject, video, False)


def weighted(subject: Subject, video: np.ndarray) -> np.ndarray:
  """Video -> (B, T', H', W'): the same with the positive part of attention times the gradient of the target."""
  return _map(subject, video, True)


def _map(subject: Subject, video: np.ndarray, gradient: bool) -> np.ndarray:
  if not any("attention" in kinds for block, kinds in subject.variables["params"].items() if block != "head"):
    raise ConfigError(f"{subject.model.family} has no attention of all tokens to all others in its trunk: use "
                      "--method=gradcam, integrated_gradients or occlusion.")
  return np.asarray(_attended(subject.model, subject.target, gradient, subject.variables, video))


@partial(jax.jit, static_argnums=(0, 1, 2))
def _attended(model: Any, target: Target, gradient: bool, variables: Any, video: jax.Array) -> jax.Array:
  found, grid = _layers(model, target, variables, video)
  size = model.variants[model.variant]
  later = getattr(size, "time_depth", 0)  # layers over time alone, after all of those over space
  if later:
    places = video.shape[2] // size.patch, video.shape[3] // size.patch
    return _in_turn(model, found[:-later], found[-later:], (len(video), grid[0], *places), gradient)
  (b, t), (rows, n) = (len(video), grid[0]), found[-1][1].shape[:2]  # keys: a pooler has one query only
  divided = model.family == "timesformer"  # its class token is one of the clip, in all frames' attention
  if divided:
    rows, n = b, 1 + t * grid[1] * grid[2]
  prefix = n - b * t * grid[1] * grid[2] // rows
  pooler = found[-1][0].shape[1] != found[-1][1].shape[1]
  reads_first = _reads_first(model)
  if pooler:  # a learned query reads the frame; other heads read past it
    *found, last = found
    start = _pass(jnp.ones((rows, 1)), last, gradient) if reads_first else jnp.full((rows, n), 1 / n)
  else:
    start = _start(reads_first, rows, n, prefix)
  row = start
  for i in reversed(range(len(found))):
    passed = (_divided(row, found[i], gradient, t, i % 2 == 0) if divided else _pass(row, found[i], gradient))
    row = row + passed if gradient else (row + passed) / 2
  row = row - start if gradient and not pooler else row
  return row[:, prefix:].reshape(b, *grid)


def _reads_first(model: Any) -> bool:
  """Whether the head stands on the class token."""
  return model.spec.kind != "attentive" and model.spec.pool.startswith("cls")


def _start(first: bool, rows: int, n: int, prefix: int) -> jax.Array:
  """(rows, n): all at the first token, or shared among those that are not of the prefix."""
  reads = np.zeros(n) + (np.arange(n) == 0 if first and prefix else (np.arange(n) >= prefix) / (n - prefix))
  return jnp.broadcast_to(jnp.asarray(reads, jnp.float32).reshape(1, n), (rows, n))


def _in_turn(model: Any, space: list[Layer], time: list[Layer], shape: tuple[int, int, int, int],
             gradient: bool) -> jax.Array:
  """The map (B, T', H', W') where layers over time see one class token of each time, or each place by itself."""
  (b, t), n = shape[:2], shape[2] * shape[3]
  tokens, cap = space[0][1].shape[1] > n, getattr(model.variants[model.variant], "cap", 0.0)

  def through(row: jax.Array, layers: list[Layer]) -> jax.Array:
    for layer in reversed(layers):
      passed = _pass(row, layer, gradient, cap)
      row = row + passed if gradient else (row + passed) / 2
    return row
  if tokens:
    row = through(_start(_reads_first(model), b, 1 + t, 1), time)[:, 1:]  # (B, T')
    row = through(jnp.pad(row.reshape(b * t, 1), ((0, 0), (0, n))), space)[:, 1:]
    return row.reshape(shape)
  start = jnp.full((b * n, t), 1 / (n * t))
  row = through(start, time).reshape(b, n, t).swapaxes(1, 2).reshape(b * t, n)
  row = through(row, space)
  return (row - start[0, 0] if gradient else row).reshape(shape)


def _layers(model: Any, target: Target, variables: Any, video: jax.Array) -> tuple[list[Layer], tuple[int, int, int]]:
  """The attention layers of the trunk, first to last, and the grid of its tokens."""
  grid = []

  def run(added: dict[str, jax.Array]) -> tuple[jax.Array, tuple[dict[str, jax.Array], Any]]:
    seen = {}

    def note(call, args, kwargs, context):
      path, name = context.module.path, "/".join(context.module.path[:-1])
      if path[:1] == ("head",) or len(path) < 3 or context.method_name != "__call__":
        return call(*args, **kwargs)
      if path[-1] == "out":  # what the heads give, before they are mixed
        seen[f"{name}/heads"] = args[0]
        return call(args[0] + added.get(name, 0.0), *args[1:], **kwargs)
      out = call(*args, **kwargs)
      if path[-1] == "v":
        seen[f"{name}/v"] = out
      return out

    def logits(m, video):
      tokens, size = m.features(video)
      grid[:] = [size]
      return m.head(tokens, size)
    with nn.intercept_methods(note):
      out, sown = model.apply(variables, video, method=logits, mutable=["attention"])
    return target.score(out).sum(), (seen, sown["attention"])
  seen, _ = jax.eval_shape(lambda: run({})[1])
  zeros = {name.removesuffix("/heads"): jnp.zeros(x.shape, x.dtype) for name, x in seen.items()
           if name.endswith("/heads")}
  gradients, (seen, sown) = jax.grad(run, has_aux=True)(zeros)
  layers = []
  for block in (name for name in model.blocks if name in sown):
    for part in ("temporal_attention", "attention"):  # in this order in a divided block
      if part in sown[block]:
        (q,), (k,) = sown[block][part]["queries"], sown[block][part]["keys"]
        v, g = seen[f"{block}/{part}/v"], gradients[f"{block}/{part}"]
        layers.append((q, k, v.reshape(k.shape), g.reshape(q.shape)))
  return layers, grid[0]


def _pass(row: jax.Array, layer: Layer, gradient: bool, cap: float = 0.0) -> jax.Array:
  """row (B', N) times the mean over heads of the attention (B', N, M), or of the part that raises the target."""
  def head(total: jax.Array, one: Layer) -> tuple[jax.Array, None]:
    q, k, v, g = (x.astype(jnp.float32) for x in one)
    shares = nn.softmax(ops.capped(jnp.einsum("bnd,bmd->bnm", q, k) / q.shape[-1]**0.5, cap))
    if gradient:
      shares = nn.relu(shares * jnp.einsum("bnd,bmd->bnm", g, v))
    return total + jnp.einsum("bn,bnm->bm", row, shares), None
  heads = tuple(x.swapaxes(0, 2).swapaxes(1, 2) for x in layer)  # (heads, B', N, d)
  return jax.lax.scan(head, jnp.zeros(layer[1].shape[:2]), heads)[0] / len(heads[0])


def _divided(row: jax.Array, layer: Layer, gradient: bool, t: int, over_time: bool) -> jax.Array:
  """`_pass` of TimeSformer's (B, 1 + T n): over the frames of a place, or over class token and places of a frame."""
  b, n = len(row), (row.shape[1] - 1) // t
  first, rest = row[:, :1], row[:, 1:].reshape(b, t, n)
  if over_time:
    out = _pass(rest.swapaxes(1, 2).reshape(b * n, t), layer, gradient).reshape(b, n, t).swapaxes(1, 2)
    # The class token takes no part: it stays what it was.
    return jnp.concatenate([jnp.zeros_like(first) if gradient else first, out.reshape(b, t * n)], axis=1)
  frames = jnp.concatenate([jnp.broadcast_to(first[:, None] / t, (b, t, 1)), rest], axis=2)
  out = _pass(frames.reshape(b * t, 1 + n), layer, gradient).reshape(b, t, 1 + n)
  return jnp.concatenate([out[:, :, 0].sum(axis=1, keepdims=True), out[:, :, 1:].reshape(b, t * n)], axis=1)
