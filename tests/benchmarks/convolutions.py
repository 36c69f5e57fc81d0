"""Convolutional trunks: ours, with the library's convolutions and pooling in place of ours, and in torch."""
import contextlib
import importlib
import itertools
from collections.abc import Callable
from unittest import mock

import jax

from tests.benchmarks.timing import SHAPE, Pair, compiled, features
from vft.models.efficientnet_lite import Size, plan
from vft.models.ops import convolution, depthwise, pool

CLIPS = {"lite0": 4, "lite0_library": 1, "i3d": 4, "r2plus1d": 1, "r2plus1d_library": 1}
SHAPES = {name: (clips, *SHAPE[1:]) for name, clips in CLIPS.items()}


def library() -> contextlib.AbstractContextManager:
  """The library's own convolutions and pooling in place of ours."""
  stack = contextlib.ExitStack()
  for module, name in ((convolution, "_conv"), (depthwise, "_depthwise"), (pool, "_max_pool")):
    stack.enter_context(mock.patch.object(module, name, lambda how, *arrays, f=module._library: f(*arrays, *how)))
  return stack


def pairs(benchmark: str, family: str, variant: str = "", peer: Callable | None = None) -> list[tuple[str, Pair]]:
  """Features, and a step of plain gradient descent on all parameters; against the library, or a torch module `peer`."""
  f, variables, video = features(family, SHAPES[benchmark], variant=variant)

  def step(params, stats, video):
    slopes = jax.grad(lambda p: (f({"params": p, "batch_stats": stats}, video) ** 2).mean())(params)
    return jax.tree.map(lambda p, g: p - 1e-3 * g, params, slopes)
  parts = {"forward": (f, variables, video),
           "training step": (step, variables["params"], variables["batch_stats"], video)}
  runs: dict[str, Pair] = {part: {"ours": compiled(*what)} for part, what in parts.items()}
  if peer:
    for layout in ("contiguous_format", "channels_last"):
      for part, run in torch_runs(peer, video, layout).items():
        runs[part][f"torch {layout}"] = run
  else:
    for part, what in parts.items():
      runs[part]["library"] = compiled(*what, lowering=library())
  return list(runs.items())


def torch_runs(peer: Callable, video, layout: str) -> Pair:
  """The same of a torch module, with stored BatchNorm statistics."""
  torch = importlib.import_module("torch")
  module, x = peer(torch.nn).eval(), torch.from_numpy(video)
  x = x.flatten(0, 1) if isinstance(module[0][0], torch.nn.Conv2d) else x
  x = x.movedim(-1, 1)
  memory = getattr(torch, "channels_last_3d" if x.ndim == 5 and layout == "channels_last" else layout)
  module, x = module.to(memory_format=memory), x.contiguous(memory_format=memory)

  def mean(x):
    return module(x).flatten(2).mean(2)

  def step():
    module.zero_grad()
    (mean(x) ** 2).mean().backward()
    with torch.no_grad():
      for parameter in module.parameters():
        parameter -= 1e-3 * parameter.grad
  return {"forward": torch.no_grad()(lambda: mean(x).numpy()), "training step": step}


def residual(nn, inside, shortcut, after):
  class Residual(nn.Module):
    def __init__(self):
      super().__init__()
      self.inside, self.shortcut, self.after = inside, shortcut, after

    def forward(self, x):
      return self.after(self.inside(x) + self.shortcut(x))
  return Residual()


def torch_lite0(nn):
  """EfficientNet-Lite0 without its head, padded on both sides."""
  def unit(inputs, outputs, kernel=1, stride=1, groups=1, activate=True):
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
                         nn.BatchNorm2d(outputs, eps=1e-3), nn.ReLU6(inplace=True) if activate else nn.Identity())

  def block(p):
    parts = nn.Sequential(unit(p.inputs, p.between) if p.between != p.inputs else nn.Identity(),
                          unit(p.between, p.between, p.kernel, p.stride, p.between),
                          unit(p.between, p.outputs, activate=False))
    whole = p.stride == 1 and p.inputs == p.outputs
    return residual(nn, parts, nn.Identity(), nn.Identity()) if whole else parts
  size = Size()
  blocks = plan(size)
  return nn.Sequential(unit(3, size.stem, 3, 2), *map(block, blocks), unit(blocks[-1].outputs, size.top))


def torch_r2plus1d(nn):
  """R(2+1)D-18 without its head."""
  def unit(inputs, outputs, kernel, strides, activate=True):
    return nn.Sequential(nn.Conv3d(inputs, outputs, kernel, strides, [k // 2 for k in kernel], bias=False),
                         nn.BatchNorm3d(outputs), nn.ReLU(inplace=True) if activate else nn.Identity())

  def factorised(inputs, between, outputs, stride, activate=True):
    return nn.Sequential(unit(inputs, between, (1, 3, 3), (1, stride, stride)),
                         unit(between, outputs, (3, 1, 1), (stride, 1, 1), activate))

  def block(inputs, outputs, stride):
    between = 27 * inputs * outputs // (9 * inputs + 3 * outputs)
    inside = nn.Sequential(factorised(inputs, between, outputs, stride),
                           factorised(outputs, between, outputs, 1, activate=False))
    shortcut = unit(inputs, outputs, (1, 1, 1), (stride,) * 3, activate=False) if stride > 1 else nn.Identity()
    return residual(nn, inside, shortcut, nn.ReLU())
  blocks = [part for inputs, outputs in itertools.pairwise((64, 64, 128, 256, 512))
            for part in (block(inputs, outputs, outputs // inputs), block(outputs, outputs, 1))]
  return nn.Sequential(unit(3, 45, (1, 7, 7), (1, 2, 2)), unit(45, 64, (3, 1, 1), (1, 1, 1)), *blocks)


def lite0() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 against torch."""
  return pairs("lite0", "efficientnet_lite", "lite0", peer=torch_lite0)


def lite0_library() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 against the library's convolutions."""
  return pairs("lite0_library", "efficientnet_lite", "lite0")


def i3d() -> list[tuple[str, Pair]]:
  """I3D against the library's convolutions and pooling."""
  return pairs("i3d", "i3d")


def r2plus1d() -> list[tuple[str, Pair]]:
  """R(2+1)D-18 against torch."""
  return pairs("r2plus1d", "video_resnet", "r2plus1d_18", peer=torch_r2plus1d)


def r2plus1d_library() -> list[tuple[str, Pair]]:
  """R(2+1)D-18 against the library's convolutions."""
  return pairs("r2plus1d_library", "video_resnet", "r2plus1d_18")


NAMES = {"lite0": lite0, "lite0_library": lite0_library, "i3d": i3d, "r2plus1d": r2plus1d,
         "r2plus1d_library": r2plus1d_library}
