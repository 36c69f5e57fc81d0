"""S3D (arXiv:1712.04851) as torchvision builds it: I3D with each k x k x k kernel in two, in space and in time.

Its paddings are torch's, k // 2 on both sides, where I3D's are SAME.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.i3d import WIDTHS
from vft.models.layers import padded
from vft.models.normalisation import KINETICS, Statistics
from vft.models.video_model import VideoModel

SINGLE = {"conv_1a": (64, 7, 2), "conv_2b": (64, 1, 1), "conv_2c": (192, 3, 1)}  # width, kernel, stride
# Max pools that stand before a block: window, strides and padding on both sides.
POOLS = {
    "conv_2b": ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    "mixed_3b": ((1, 3, 3), (1, 2, 2), (0, 1, 1)),
    "mixed_4b": ((3, 3, 3), (2, 2, 2), (1, 1, 1)),
    "mixed_5b": ((2, 2, 2), (2, 2, 2), (0, 0, 0)),
}


class Size(NamedTuple):
  """By what the published widths are divided, and the blocks."""
  share: int = 1
  blocks: tuple[str, ...] = (*SINGLE, *WIDTHS)


def pool(x: jax.Array, window: tuple[int, ...], strides: tuple[int, ...], pads: tuple[int, ...]) -> jax.Array:
  """Max pooling; a clip shorter than the window is pooled whole (torchvision takes 14 frames or more)."""
  window = tuple(min(k, n + 2 * p) for k, n, p in zip(window, x.shape[1:4], pads, strict=True))
  return ops.max_pool(x, window, strides, [(p, p) for p in pads])


class Unit(nn.Module):
  """Convolution, BatchNorm, ReLU; of a kernel above 1 in space, then in time: (B, T, H, W, C) -> (B, ..., width)."""
  width: int
  kernel: int
  stride: int
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    k, s = self.kernel, self.stride
    x = nn.relu(padded(x, self.width, (1, k, k), (1, s, s), self.bn, train, ("conv", "bn"), epsilon=1e-3))
    if k == 1:
      return x
    return nn.relu(padded(x, self.width, (k, 1, 1), (s, 1, 1), self.bn, train, ("conv_time", "bn_time"), epsilon=1e-3))


class Mixed(nn.Module):
  """An Inception block: four branches side by side, joined on channels; `widths` as in `i3d.WIDTHS`."""
  widths: tuple[int, ...]
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    def unit(x, width, kernel, name):
      return Unit(width, kernel, 1, self.bn, name=name)(x, train)
    w = self.widths
    first, second = (unit(x, w[i], 1, f"branch_{n}_a") for i, n in ((1, 1), (3, 2)))
    pooled = ops.max_pool(x, (3, 3, 3), (1, 1, 1))
    return jnp.concatenate([unit(x, w[0], 1, "branch_0"), unit(first, w[2], 3, "branch_1_b"),
                            unit(second, w[4], 3, "branch_2_b"), unit(pooled, w[5], 1, "branch_3")], axis=-1)


class S3D(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. H and W >= 32; published with T >= 14."""
  family: ClassVar[str] = "s3d"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),
      "tiny": Size(8, (*SINGLE, "mixed_3b", "mixed_4b", "mixed_5b")),
  }
  original: ClassVar[Spec] = Spec(pool="windows")
  classes: ClassVar[int] = 400
  normalisation: ClassVar[Statistics] = KINETICS

  @property
  def blocks(self) -> tuple[str, ...]:
    return self.variants[self.variant].blocks

  def _block(self, name: str) -> nn.Module:
    bn, share = self.block_bn(name), self.variants[self.variant].share
    if name in WIDTHS:
      return self.rematted(Mixed)(tuple(w // share for w in WIDTHS[name]), bn, name=name)
    width, kernel, stride = SINGLE[name]
    return self.rematted(Unit)(width // share, kernel, stride, bn, name=name)

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    x = video.astype(self.dtype)
    for name in self.blocks:
      if name in POOLS:
        x = pool(x, *POOLS[name])
      x = self._block(name)(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
