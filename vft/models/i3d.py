"""I3D, the inflated 3-D Inception-v1 (arXiv:1705.07750), with the paddings and BatchNorm of the published code."""
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import ConvUnit
from vft.models.video_model import VideoModel

# Output widths of an Inception block: branch 0; branch 1, 1x1x1 then 3x3x3; branch 2 likewise; branch 3 after its pool.
WIDTHS = {
    "mixed_3b": (64, 96, 128, 16, 32, 32),
    "mixed_3c": (128, 128, 192, 32, 96, 64),
    "mixed_4b": (192, 96, 208, 16, 48, 64),
    "mixed_4c": (160, 112, 224, 24, 64, 64),
    "mixed_4d": (128, 128, 256, 24, 64, 64),
    "mixed_4e": (112, 144, 288, 32, 64, 64),
    "mixed_4f": (256, 160, 320, 32, 128, 128),
    "mixed_5b": (256, 160, 320, 32, 128, 128),
    "mixed_5c": (384, 192, 384, 48, 128, 128),
}
# Max pools that stand before a block: window and strides.
POOLS = {
    "conv_2b": ((1, 3, 3), (1, 2, 2)),
    "mixed_3b": ((1, 3, 3), (1, 2, 2)),
    "mixed_4b": ((3, 3, 3), (2, 2, 2)),
    "mixed_5b": ((2, 2, 2), (2, 2, 2)),
}


class Branch(nn.Module):
  """Convolution units one after another, each (name, width, kernel)."""
  units: tuple[tuple[str, int, int], ...]
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    for name, width, kernel in self.units:
      x = ConvUnit(width, (kernel, kernel, kernel), bn=self.bn, name=name)(x, train)
    return x


class Mixed(nn.Module):
  """An Inception block: four branches side by side, joined on channels."""
  widths: tuple[int, ...]
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    w = self.widths
    pooled = ops.max_pool(x, (3, 3, 3), (1, 1, 1))
    branches = (
        (x, (("conv_0a", w[0], 1),)),
        (x, (("conv_0a", w[1], 1), ("conv_0b", w[2], 3))),
        (x, (("conv_0a", w[3], 1), ("conv_0b", w[4], 3))),
        (pooled, (("conv_0b", w[5], 1),)),
    )
    return jnp.concatenate([Branch(units, self.bn, name=f"branch_{i}")(y, train)
                            for i, (y, units) in enumerate(branches)], axis=-1)


class I3D(VideoModel):
  """Video (B, T, H, W, C), normalised to -1..1 -> {task: logits (B, K)} float32. T >= 2, H and W >= 32."""
  family: ClassVar[str] = "i3d"
  variants: ClassVar[dict[str, int]] = {"": 1, "tiny": 8}  # the published widths are divided by this
  original: ClassVar[Spec] = Spec(pool="windows")
  classes: ClassVar[int] = 400

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("conv_1a", "conv_2b", "conv_2c", *WIDTHS)

  def _block(self, name: str) -> nn.Module:
    bn, share = self.block_bn(name), self.variants[self.variant]
    if name in WIDTHS:
      return self.rematted(Mixed)(tuple(w // share for w in WIDTHS[name]), bn, name=name)
    width, k, s = {"conv_1a": (64, 7, 2), "conv_2b": (64, 1, 1), "conv_2c": (192, 3, 1)}[name]
    return self.rematted(ConvUnit)(width // share, (k, k, k), (s, s, s), bn, name=name)

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    x = video.astype(self.dtype)
    for name in self.blocks:
      if name in POOLS:
        x = ops.max_pool(x, *POOLS[name])
      x = self._block(name)(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
