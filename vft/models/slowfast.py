"""SlowFast-R50 and R101 (arXiv:1812.03982, table 1) as pytorchvideo builds them: one clip, seen on two paths.

The slow path takes one of alpha frames, the fast path all of them with an eighth of the channels. Before each layer the
slow path is joined by what a convolution over time, of stride alpha, makes of the fast one (sec. 3.3).
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.models import ops
from vft.models.layers import drop_path, padded
from vft.models.normalisation import PYSLOWFAST, Statistics
from vft.models.video_model import VideoModel

Paths = tuple[jax.Array, jax.Array]
SHARE = 8  # channels of the slow path for one of the fast path: 1 / beta


class Size(NamedTuple):
  """Frames for one of the slow path, frames that the kernel between the paths spans, blocks per layer, stem's width."""
  alpha: int = 4
  span: int = 7
  depths: tuple[int, int, int, int] = (3, 4, 6, 3)
  width: int = 64

  def bottleneck(self, layer: int, first: bool) -> tuple[int, int, int]:
    """Width, span and stride of a bottleneck of the slow path, the `first` of its layer or not."""
    return self.width << layer - 1, 1 if layer < 3 else 3, 2 if first and layer > 1 else 1


def slow_frames(frames: int, alpha: int) -> np.ndarray:
  """The frames of the slow path: from the first to the last at even steps, rounded down, as the authors pack them."""
  count = -(-frames // alpha)
  return np.arange(count) * (frames - 1) // max(count - 1, 1)


def onto_slow(fast: jax.Array, alpha: int) -> jax.Array:
  """(B, T, H, W, C) -> (B, ceil(T / alpha), H, W, C), the means of alpha frames; the last mean may be of fewer."""
  b, t, *rest = fast.shape
  count = -(-t // alpha)
  fast = jnp.pad(fast, ((0, 0), (0, count * alpha - t), *((0, 0),) * 3)).reshape(b, count, alpha, *rest)
  there = np.minimum(alpha, t - alpha * np.arange(count)).reshape(1, count, 1, 1, 1)
  return fast.sum(axis=2) / there.astype(fast.dtype)


def stem(x: jax.Array, width: int, span: int, bn: str, train: bool, names: tuple[str, str]) -> jax.Array:
  """Kernel span x 7 x 7, max pooling: (B, T, H, W, 3) -> (B, T, H/4, W/4, width). Inside a compact method only."""
  x = nn.relu(padded(x, width, (span, 7, 7), (1, 2, 2), bn, train, names))
  return ops.max_pool(x, (1, 3, 3), (1, 2, 2), ((0, 0), (1, 1), (1, 1)))


class Stem(nn.Module):
  """Spans of 1 and 5 frames: (B, T, H, W, 3) -> both paths, (B, T', H/4, W/4, C)."""
  size: Size
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> Paths:
    slow, width = x[:, slow_frames(x.shape[1], self.size.alpha)], self.size.width
    return (stem(slow, width, 1, self.bn, train, ("slow_conv", "slow_bn")),
            stem(x, width // SHARE, 5, self.bn, train, ("fast_conv", "fast_bn")))


class Bottleneck(nn.Module):
  """Kernels span x 1 x 1, 1 x 3 x 3 and 1 x 1 x 1, and a shortcut: (B, T, H, W, C) -> (B, T, H', W', 4 width)."""
  width: int
  span: int
  stride: int
  bn: str
  drop_path: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    w, strides = self.width, (1, self.stride, self.stride)
    y = nn.relu(padded(x, w, (self.span, 1, 1), (1, 1, 1), self.bn, train, ("conv_a", "bn_a")))
    y = nn.relu(padded(y, w, (1, 3, 3), strides, self.bn, train, ("conv_b", "bn_b")))
    y = padded(y, 4 * w, (1, 1, 1), (1, 1, 1), self.bn, train, ("conv_c", "bn_c"))
    if x.shape[-1] != 4 * w:
      x = padded(x, 4 * w, (1, 1, 1), strides, self.bn, train, ("shortcut_conv", "shortcut_bn"))
    return nn.relu(x + drop_path(self.drop_path, train, y))


class Block(nn.Module):
  """A residual block of each path; in the first of a layer (`joins`) the slow path takes from the fast one before."""
  size: Size
  layer: int
  joins: bool
  bn: str
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, paths: Paths, train: bool = False) -> Paths:
    (slow, fast), size = paths, self.size
    if self.joins:
      taken = padded(fast, 2 * fast.shape[-1], (size.span, 1, 1), (size.alpha, 1, 1), self.bn, train,
                     ("join_conv", "join_bn"))
      slow = jnp.concatenate([slow, nn.relu(taken)], axis=-1)
    width, span, stride = size.bottleneck(self.layer, self.joins)
    slow = Bottleneck(width, span, stride, self.bn, self.drop_path, name="slow")(slow, train)
    return slow, Bottleneck(width // SHARE, 3, stride, self.bn, self.drop_path, name="fast")(fast, train)


class SlowFast(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. T frames of the fast path, any number.

  The grid is that of the slow path, T / alpha, H / 32, W / 32; its tokens hold the slow channels, then the means of
  alpha frames of the fast ones, so that their mean is what the published classifier takes (of frames of 224 x 224).
  """
  family: ClassVar[str] = "slowfast"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),  # R50/8x8
      "R50/8x8": Size(),
      "R50/4x16": Size(8, 5),
      "R101/8x8": Size(4, 5, (3, 4, 23, 3)),
      "tiny": Size(4, 7, (1, 1, 1, 1), 16),
  }
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = PYSLOWFAST

  @property
  def blocks(self) -> tuple[str, ...]:
    depths = self.variants[self.variant].depths
    return ("stem", *(f"layer{i}_{j:02}" for i, depth in enumerate(depths, 1) for j in range(depth)))

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of both paths' last blocks and their grid (T', H', W'), N = T'H'W'."""
    size = self.variants[self.variant]
    paths = self.rematted(Stem)(size, self.block_bn("stem"), name="stem")(video.astype(self.dtype), train)
    for name in self.blocks[1:]:
      paths = self.rematted(Block)(size, int(name[5]), name.endswith("_00"), self.block_bn(name),
                                   self.block_drop(name), name=name)(paths, train)
    x = jnp.concatenate([paths[0], onto_slow(paths[1], size.alpha)], axis=-1)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
