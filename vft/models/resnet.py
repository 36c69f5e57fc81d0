"""ResNet (arXiv:1512.03385, table 1) on each frame by itself, as torchvision has it: a block's stride is in its 3x3.

With `tsm=True` a frame also sees its neighbours: the temporal shift module (arXiv:1811.08383, fig. 3b), which adds no
parameters, stands before the first convolution of every residual branch, as in https://github.com/mit-han-lab/temporal-shift-module.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import drop_path, padded
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """Blocks per layer, width of the first layer (the others double it), three convolutions a block instead of two."""
  depths: tuple[int, int, int, int]
  width: int = 64
  bottleneck: bool = False


def shift(x: jax.Array, share: int = 8) -> jax.Array:
  """Frames (B, T, H, W, C): the first C / share channels from the frame after, as many from the one before; else 0."""
  fold = x.shape[-1] // share
  after, before, rest = jnp.split(x, [fold, 2 * fold], axis=-1)
  after = jnp.concatenate([after[:, 1:], jnp.zeros_like(after[:, :1])], axis=1)
  before = jnp.concatenate([jnp.zeros_like(before[:, :1]), before[:, :-1]], axis=1)
  return jnp.concatenate([after, before, rest], axis=-1)


class Stem(nn.Module):
  """Convolution 7x7, BatchNorm, ReLU, max pooling: (B T, H, W, C) -> (B T, H / 4, W / 4, D)."""
  width: int
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    x = nn.relu(padded(x, self.width, (7, 7), (2, 2), self.bn, train, ("conv", "bn")))
    return ops.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))  # torch's padding


class Residual(nn.Module):
  """A residual block: (B T, H, W, C) -> (B T, H / stride, W / stride, D)."""
  width: int
  stride: int
  bottleneck: bool
  frames: int  # T where frames are shifted, 0 where not
  bn: str
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    w, s = self.width, self.stride
    units = ((w, 1, 1), (w, 3, s), (4 * w, 1, 1)) if self.bottleneck else ((w, 3, s), (w, 3, 1))
    y = shift(x.reshape(-1, self.frames, *x.shape[1:])).reshape(x.shape) if self.frames else x
    for i, (width, kernel, stride) in enumerate(units, 1):
      y = nn.relu(y) if i > 1 else y
      y = padded(y, width, (kernel, kernel), (stride, stride), self.bn, train, (f"conv{i}", f"bn{i}"))
    if x.shape != y.shape:
      x = padded(x, y.shape[-1], (1, 1), (s, s), self.bn, train, ("shortcut_conv", "shortcut_bn"))
    return nn.relu(x + drop_path(self.drop_path, train, y))


class ResNet(VideoModel):
  """Video (B, T, H, W, C), normalised by `statistics` -> {task: logits (B, K)} float32. Any size."""
  tsm: bool = False

  family: ClassVar[str] = "resnet"
  variants: ClassVar[dict[str, Size]] = {
      "": Size((3, 4, 6, 3), bottleneck=True),  # 50
      "18": Size((2, 2, 2, 2)),
      "50": Size((3, 4, 6, 3), bottleneck=True),
      "tiny": Size((1, 1, 1, 1), width=8),
  }
  options: ClassVar[tuple[str, ...]] = ("tsm",)
  original: ClassVar[Spec] = Spec()
  classes: ClassVar[int] = 1000
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = IMAGENET

  @property
  def blocks(self) -> tuple[str, ...]:
    depths = self.variants[self.variant].depths
    return ("stem", *(f"layer{i}_{j:02}" for i, depth in enumerate(depths, 1) for j in range(depth)))

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T, H / 32, W / 32)."""
    b, t, *frame = video.shape
    size, x = self.variants[self.variant], video.astype(self.dtype).reshape(b * t, *frame)
    x = self.rematted(Stem)(size.width, self.block_bn("stem"), name="stem")(x, train)
    for i, depth in enumerate(size.depths):
      for j in range(depth):
        name, stride = f"layer{i + 1}_{j:02}", 2 if i and not j else 1
        x = self.rematted(Residual)(size.width << i, stride, size.bottleneck, t if self.tsm else 0,
                                    self.block_bn(name), self.block_drop(name), name=name)(x, train)
    _, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
