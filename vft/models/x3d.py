"""X3D-XS, S, M and L (arXiv:2004.04730, table 3) as pytorchvideo builds them: depthwise kernels of 3 x 3 x 3.

XS, S and M are one network, for clips of other lengths and sizes; L has more blocks.
"""
import functools
import math
from typing import ClassVar, NamedTuple

import jax
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import drop_path, he_normal, in_eights, padded
from vft.models.normalisation import PYSLOWFAST, Statistics
from vft.models.video_model import VideoModel

ONE = (1, 1, 1)


class Size(NamedTuple):
  """Factor of the layers' numbers of blocks (1, 2, 5, 3); width of the stem, which each layer but the first doubles."""
  depth: float = 2.2
  width: int = 24

  @property
  def depths(self) -> tuple[int, ...]:
    return tuple(math.ceil(self.depth * depth) for depth in (1, 2, 5, 3))


class Stem(nn.Module):
  """Kernel 1 x 3 x 3, then one of 5 frames for each channel, ReLU: (B, T, H, W, 3) -> (B, T, H/2, W/2, width)."""
  width: int
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.Conv(self.width, (1, 3, 3), (1, 2, 2), ((0, 0), (1, 1), (1, 1)), use_bias=False, dtype=x.dtype,
                kernel_init=he_normal, conv_general_dilated=ops.conv, name="conv")(x)
    return nn.relu(padded(ops.product(x), self.width, (5, 1, 1), ONE, self.bn, train, ("conv_time", "bn"), self.width))


class Excite(nn.Module):
  """Squeeze and excitation (arXiv:1709.01507): channels of (B, T, H, W, C), scaled by what their means say."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    width, dense = x.shape[-1], functools.partial(nn.Dense, dtype=x.dtype, kernel_init=he_normal)
    y = nn.relu(dense(in_eights(width / 16), name="squeeze")(x.mean(axis=(1, 2, 3), keepdims=True)))
    return x * nn.sigmoid(dense(width, name="excite")(y))


class Block(nn.Module):
  """Kernels 1 x 1 x 1, 3 x 3 x 3 depthwise and 1 x 1 x 1, and a shortcut: (B, T, H, W, C) -> (B, T, H', W', width)."""
  width: int
  first: bool  # of its layer: halves the frame; each second block from it on excites channels
  excites: bool
  bn: str
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    between, strides = int(2.25 * self.width), (1, 2, 2) if self.first else ONE
    y = nn.relu(padded(x, between, ONE, ONE, self.bn, train, ("conv_a", "bn_a")))
    y = padded(y, between, (3, 3, 3), strides, self.bn, train, ("conv_b", "bn_b"), between)
    y = nn.swish(Excite(name="se")(y) if self.excites else y)
    y = padded(y, self.width, ONE, ONE, self.bn, train, ("conv_c", "bn_c"))
    if x.shape[-1] != self.width:
      x = padded(x, self.width, ONE, strides, self.bn, train, ("shortcut_conv", "shortcut_bn"))
    elif self.first:  # of the first layer: there the authors have no BatchNorm
      x = nn.Conv(self.width, ONE, strides, ((0, 0),) * 3, use_bias=False, dtype=x.dtype, kernel_init=he_normal,
                  conv_general_dilated=ops.conv, name="shortcut_conv")(x)
    return nn.relu(x + drop_path(self.drop_path, train, y))


class Last(nn.Module):
  """Kernel 1 x 1 x 1 and ReLU: (B, T, H, W, C) -> (B, T, H, W, width)."""
  width: int
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    return nn.relu(padded(x, self.width, ONE, ONE, self.bn, train, ("conv", "bn")))


class X3D(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. The grid is T, H / 32, W / 32.

  The published classifier is an mlp on the mean token. It was trained on 4 frames of 160 x 160 (XS), 13 of 160 x 160
  (S), 16 of 224 x 224 (M), 16 of 312 x 312 (L).
  """
  family: ClassVar[str] = "x3d"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),  # M
      "XS": Size(),
      "S": Size(),
      "M": Size(),
      "L": Size(5.0),
      "tiny": Size(0.22, 8),
  }
  original: ClassVar[Spec] = Spec("mlp", hidden=(2048,))
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = PYSLOWFAST

  @property
  def blocks(self) -> tuple[str, ...]:
    depths = self.variants[self.variant].depths
    return ("stem", *(f"layer{i}_{j:02}" for i, depth in enumerate(depths, 1) for j in range(depth)), "conv5")

  def _block(self, name: str) -> nn.Module:
    width, bn = self.variants[self.variant].width, self.block_bn(name)
    if name == "stem":
      return self.rematted(Stem)(width, bn, name=name)
    if name == "conv5":
      return self.rematted(Last)(int(2.25 * width * 8), bn, name=name)
    layer, number = int(name[5]), int(name[7:])
    return self.rematted(Block)(width << layer - 1, number == 0, number % 2 == 0, bn, self.block_drop(name), name=name)

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    x = video.astype(self.dtype)
    for name in self.blocks:
      x = self._block(name)(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
