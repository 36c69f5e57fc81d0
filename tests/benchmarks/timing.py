"""What the benchmarks share: a model with random weights, compiled functions, and runs that take turns."""
import contextlib
import functools
import time
from collections.abc import Callable

import jax
import numpy as np

from vft.models import make

SHAPE = (8, 16, 112, 112, 3)  # of the video
Pair = dict[str, Callable[[], object]]  # what is timed, by name; each is compiled and gives arrays


def alternate(runs: Pair, rounds: int) -> dict[str, np.ndarray]:
  """Seconds of each run (rounds,), after one that is not counted."""
  seconds = {name: np.zeros(rounds) for name in runs}
  for run in runs.values():
    jax.block_until_ready(run())
  for i in range(rounds):
    for name, run in runs.items():
      start = time.perf_counter()
      jax.block_until_ready(run())
      seconds[name][i] = time.perf_counter() - start
  return seconds


def features(name: str, shape: tuple[int, ...] = SHAPE, /, **fields) -> tuple[Callable, dict, np.ndarray]:
  """A function (variables, video) -> mean feature (B, D), random variables, a video (B, T, H, W, 3)."""
  model = make(name, num_classes=3, **fields)
  video = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
  empty = jax.eval_shape(model.init, jax.random.key(0), video[:1])
  random = np.random.default_rng(1)
  variables = jax.tree.map(lambda a: random.normal(1.0, 0.1, a.shape).astype(np.float32) if len(a.shape) < 2 else (
      random.normal(0.0, (2 / np.prod(a.shape[:-1])) ** 0.5, a.shape).astype(np.float32)), empty)
  return lambda v, x: model.apply(v, x, method="features")[0].mean(axis=1), variables, video


def compiled(f: Callable, *args, lowering: contextlib.AbstractContextManager | None = None) -> Callable[[], object]:
  """`f` of these arguments, already compiled; `lowering` holds while it is traced."""
  args = jax.device_put(args)
  with lowering or contextlib.nullcontext():
    step = jax.jit(lambda *args: f(*args)).lower(*args).compile()  # a new function: nothing traced before is used
  return functools.partial(step, *args)
