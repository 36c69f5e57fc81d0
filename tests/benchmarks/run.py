"""Times pairs, one run of each in turn, and prints medians: load from elsewhere hits both alike.

  python -m tests.benchmarks.run NAME [--rounds=9]
"""
import argparse
import contextlib
import functools
import importlib.util
import os
import platform
import time
from collections.abc import Callable
from unittest import mock

import jax
import numpy as np

from vft import metrics, stats
from vft.models import make
from vft.models.ops import conv, depthwise, dot_product, max_pool, pointwise

SHAPE = (8, 16, 112, 112, 3)  # of the video
SHAPES = {"videomae_cpu": (1, 16, 224, 224, 3), "bootstrap": ()}  # where it is another; (): no video
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


def library_conv():
  """The library's own convolution and pooling in place of ours."""
  stack = contextlib.ExitStack()
  stack.enter_context(mock.patch.object(conv, "_conv3d", conv._conv3d_library))
  stack.enter_context(mock.patch.object(max_pool, "_max_pool3d", max_pool._max_pool3d_library))
  return stack


def library_depthwise():
  """The library's own depthwise convolution in place of ours."""
  return mock.patch.object(depthwise, "_depthwise", depthwise._library)


def library_pointwise():
  """The library's own convolution of one pixel in place of ours."""
  return mock.patch.object(pointwise, "_pointwise", pointwise._library)


def library_attention():
  """The library's own attention in place of ours."""
  return mock.patch.object(dot_product, "SMALL", float("inf"))


def i3d_cpu() -> list[tuple[str, Pair]]:
  """I3D features with our conv3d and max_pool3d against the library's."""
  f, *args = features("i3d")
  return [("forward", {"ours": compiled(f, *args), "library": compiled(f, *args, lowering=library_conv())})]


def lite0(library: Callable) -> list[tuple[str, Pair]]:
  """Features, and a step of plain gradient descent on all parameters."""
  f, variables, video = features("efficientnet_lite", variant="lite0")

  def step(params, stats, video):
    slopes = jax.grad(lambda p: (f({"params": p, "batch_stats": stats}, video) ** 2).mean())(params)
    return jax.tree.map(lambda p, g: p - 1e-3 * g, params, slopes)
  parts = (("forward", f, (variables, video)),
           ("training step", step, (variables["params"], variables["batch_stats"], video)))
  return [(name, {"ours": compiled(g, *args), "library": compiled(g, *args, lowering=library())})
          for name, g, args in parts]


def depthwise_cpu() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 features with our depthwise convolution against the library's."""
  return lite0(library_depthwise)


def pointwise_cpu() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 features with our pointwise convolution against the library's."""
  return lite0(library_pointwise)


def trunks() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 features against I3D's, both with our lowerings."""
  pair = {}
  for name, fields in (("efficientnet_lite", {"variant": "lite0"}), ("i3d", {})):
    f, *args = features(name, **fields)
    pair[name] = compiled(f, *args)
  return [("forward", pair)]


def videomae_cpu() -> list[tuple[str, Pair]]:
  """VideoMAE-S features with our attention against the library's, and transformers'; forward, full training step."""
  f, variables, video = features("videomae", SHAPES["videomae_cpu"], variant="S/16x2")

  def step(variables, video):
    """Plain gradient descent on all parameters."""
    slopes = jax.grad(lambda p: (f(p, video) ** 2).mean())(variables)
    return jax.tree.map(lambda p, g: p - 1e-3 * g, variables, slopes)
  pairs = [(name, {"ours": compiled(g, variables, video),
                   "library": compiled(g, variables, video, lowering=library_attention())})
           for name, g in (("forward", f), ("training step", step))]
  if importlib.util.find_spec("transformers"):
    pairs[0][1]["transformers"] = transformers_forward(video)
  return pairs


def transformers_forward(video: np.ndarray) -> Callable[[], object]:
  """The tokens of transformers' VideoMAE-S, with the attention that it takes by itself."""
  torch, transformers = importlib.import_module("torch"), importlib.import_module("transformers")
  model = transformers.VideoMAEModel(transformers.VideoMAEConfig(
      hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536)).eval()
  clips = torch.from_numpy(video).movedim(-1, 2)
  return torch.no_grad()(lambda: model(clips).last_hidden_state.numpy())


def bootstrap() -> list[tuple[str, Pair]]:
  """10,000 resamples of 1,000 videos of 1,000 patients: all figures of one task, three classes or labels."""
  rng, names, runs = np.random.default_rng(0), ("a", "b", "c"), []
  for kind in metrics.KINDS:
    y = rng.integers(2, size=(1000, 3)) if kind == "multi" else rng.integers(3, size=1000).astype(float)
    out = rng.normal(size=1000) if kind == "regression" else rng.dirichlet(np.ones(3), 1000)
    runs.append((kind, {"bootstrap": functools.partial(
        stats.bootstrap, y, out, np.arange(1000), classes=names, n=10_000, kind=kind)}))
  return runs


NAMES = {"i3d_cpu": i3d_cpu, "depthwise": depthwise_cpu, "pointwise": pointwise_cpu, "trunks": trunks,
         "videomae_cpu": videomae_cpu, "bootstrap": bootstrap}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("name", choices=NAMES)
  parser.add_argument("--rounds", type=int, default=9)
  args = parser.parse_args()
  shape = SHAPES.get(args.name, SHAPE)
  clips, unit = (shape[0], "s a clip") if shape else (1, "s")
  size = f"{clips} clips of {' x '.join(map(str, shape[1:4]))}, float32, " if shape else ""
  print(f"{NAMES[args.name].__doc__}\n{size}"
        f"{jax.devices()[0].device_kind} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"jax {jax.__version__}, {args.rounds} rounds")
  for title, pair in NAMES[args.name]():
    seconds = alternate(pair, args.rounds)
    for name, values in seconds.items():
      values = values / clips
      print(f"  {title:<14}{name:<18} median {np.median(values):.3f} {unit}, least {values.min():.3f}")
    (first, ours), *others = seconds.items()
    for other, values in others:
      print(f"  {title:<14}{other} / {first}: median of the rounds' ratios {np.median(values / ours):.2f}")


if __name__ == "__main__":
  main()
