"""EfficientNet-Lite, each frame by itself: EfficientNet (arXiv:1905.11946, table 1) without squeeze-and-excitation,
with ReLU6 and with a stem and a last convolution of fixed width, as in the published efficientnet_lite_builder.py."""
import math
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models.layers import conv_bn, drop_path, in_eights
from vft.models.normalisation import Statistics
from vft.models.video_model import VideoModel

# Stages of the published Lite0: blocks, kernel, stride of the first block, expansion, width.
STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


class Size(NamedTuple):
  """Factors of the stages' widths and numbers of blocks (the first and the last stage keep one block)."""
  width: float = 1.0
  depth: float = 1.0
  stem: int = 32
  top: int = 1280


class Plan(NamedTuple):
  """One block: widths in, between and out; kernel and stride of its depthwise convolution."""
  inputs: int
  between: int
  outputs: int
  kernel: int
  stride: int


def plan(size: Size) -> tuple[Plan, ...]:
  """The blocks of a size."""
  blocks, before = [], size.stem
  for i, (count, kernel, stride, expansion, width) in enumerate(STAGES):
    width = in_eights(width * size.width)
    count = count if i in (0, len(STAGES) - 1) else math.ceil(size.depth * count)
    for j in range(count):
      blocks.append(Plan(before, before * expansion, width, kernel, 1 if j else stride))
      before = width
  return tuple(blocks)


@jax.custom_vjp
def relu6(x: jax.Array) -> jax.Array:
  """0 <= x <= 6. The gradient is found from the output, which the next layer keeps anyway, and is 0 at the bounds."""
  return jax.lax.clamp(jnp.zeros((), x.dtype), x, jnp.full((), 6, x.dtype))


def _relu6_forward(x):
  y = relu6(x)
  return y, y


relu6.defvjp(_relu6_forward, lambda y, g: (jnp.where((y > 0) & (y < 6), g, 0),))


class Unit(nn.Module):
  """Convolution without bias, SAME, BatchNorm and ReLU6: (N, H, W, C) -> (N, H', W', D)."""
  width: int
  kernel: int = 1
  stride: int = 1
  depthwise: bool = False
  activate: bool = True
  bn: str = "stored"

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = conv_bn(x, self.width, (self.kernel,) * 2, (self.stride,) * 2, bn=self.bn, train=train, epsilon=1e-3,
                groups=x.shape[-1] if self.depthwise else 1)
    return relu6(x) if self.activate else x


class Inverted(nn.Module):
  """Inverted residual block (arXiv:1801.04381, sec. 3.3): (N, H, W, C) -> (N, H', W', D)."""
  plan: Plan
  bn: str
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    p, y = self.plan, x
    if p.between != p.inputs:
      y = Unit(p.between, bn=self.bn, name="expand")(y, train)
    y = Unit(p.between, p.kernel, p.stride, depthwise=True, bn=self.bn, name="depthwise")(y, train)
    y = Unit(p.outputs, activate=False, bn=self.bn, name="project")(y, train)
    return x + drop_path(self.drop_path, train, y) if p.stride == 1 and p.inputs == p.outputs else y


class EfficientNetLite(VideoModel):
  """Video (B, T, H, W, 3), normalised as (rgb - 127) / 128 -> {task: logits (B, K)} float32.

  Published for frames of 224 (lite0), 240 (lite1) and 260 (lite2) pixels; any size from 32 will do. The padding is that
  of the size at hand (TensorFlow's SAME); the PyTorch port fixes it when it is built, for its `image_size`.
  """
  family: ClassVar[str] = "efficientnet_lite"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(), "lite0": Size(), "lite1": Size(1.0, 1.1), "lite2": Size(1.1, 1.2), "tiny": Size(0.5, 0.5, 16, 640)}
  classes: ClassVar[int] = 1000
  residual: ClassVar[str] = "block_"
  normalisation: ClassVar[Statistics] = (127 / 255,) * 3, (128 / 255,) * 3

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("stem", *(f"block_{i:02}" for i in range(len(plan(self.variants[self.variant])))), "top")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, 3) -> tokens (B, T h w, D) of the last convolution and their grid (T, h, w)."""
    size = self.variants[self.variant]
    b, t, *pixels = video.shape
    x = video.astype(self.dtype).reshape(b * t, *pixels)
    unit = self.rematted(Unit)
    x = unit(size.stem, 3, 2, bn=self.block_bn("stem"), name="stem")(x, train)
    for i, block in enumerate(plan(size)):
      name = f"block_{i:02}"
      x = self.rematted(Inverted)(block, self.block_bn(name), self.block_drop(name), name=name)(x, train)
    x = unit(size.top, bn=self.block_bn("top"), name="top")(x, train)
    _, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
