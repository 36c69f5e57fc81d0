"""Slow-only R50 (arXiv:1812.03982, sec. 4.1) as pytorchvideo builds it: SlowFast's slow path by itself, all of a clip.

Its first two layers see each frame alone; kernels over time are in the last two. No stride is over time.
"""
from typing import ClassVar

import jax
from flax import linen as nn

from vft.models import slowfast
from vft.models.slowfast import Size


class Stem(nn.Module):
  """Kernel 1 x 7 x 7, max pooling: (B, T, H, W, 3) -> (B, T, H/4, W/4, width)."""
  width: int
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    return slowfast.stem(x, self.width, 1, self.bn, train, ("conv", "bn"))


class Slow(slowfast.SlowFast):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. The grid is T, H / 32, W / 32.

  The published classifier takes the mean token; it was trained on 8 frames of 224 x 224. Of a size, `alpha` and `span`
  mean nothing here.
  """
  family: ClassVar[str] = "slow"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),  # R50/8x8
      "R50/8x8": Size(),
      "tiny": Size(depths=(1, 2, 1, 1), width=16),
  }

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    size = self.variants[self.variant]
    x = self.rematted(Stem)(size.width, self.block_bn("stem"), name="stem")(video.astype(self.dtype), train)
    for name in self.blocks[1:]:
      fields = size.bottleneck(int(name[5]), name.endswith("_00"))
      x = self.rematted(slowfast.Bottleneck)(*fields, self.block_bn(name), self.block_drop(name), name=name)(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
