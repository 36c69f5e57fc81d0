"""I3D, the inflated 3-D Inception-v1 (arXiv:1705.07750), with the paddings and BatchNorm of the published code."""
from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Head
from vft.models.layers import ConvUnit

VARIANTS = {"": 1, "tiny": 8}  # the published widths are divided by this

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
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    for name, width, kernel in self.units:
      x = ConvUnit(width, (kernel, kernel, kernel), bn=self.bn, dtype=self.dtype, name=name)(x, train)
    return x


class Mixed(nn.Module):
  """An Inception block: four branches side by side, joined on channels."""
  widths: tuple[int, ...]
  bn: str
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    w = self.widths
    pooled = ops.max_pool3d(x, (3, 3, 3), (1, 1, 1))
    branches = (
        (x, (("conv_0a", w[0], 1),)),
        (x, (("conv_0a", w[1], 1), ("conv_0b", w[2], 3))),
        (x, (("conv_0a", w[3], 1), ("conv_0b", w[4], 3))),
        (pooled, (("conv_0b", w[5], 1),)),
    )
    return jnp.concatenate([Branch(units, self.bn, self.dtype, name=f"branch_{i}")(y, train)
                            for i, (y, units) in enumerate(branches)], axis=-1)


class I3D(nn.Module):
  """Video (B, T, H, W, 3), normalised -> {task: logits (B, K)} float32. T >= 2, H and W >= 32."""
  tasks: tuple[tuple[str, int], ...] = (("label", 400),)
  variant: str = ""
  head_kind: str = "linear"
  hidden: tuple[int, ...] = (256, 128)
  dropout: float = 0.0
  dtype: jnp.dtype = jnp.float32
  bn: str = "stored"  # stored | batch | estimate, see layers.ConvUnit
  trained_blocks: tuple[str, ...] = ()  # the blocks that bn="batch" is about; the others use stored statistics

  family: ClassVar[str] = "i3d"
  version: ClassVar[int] = 1  # raise it when features change: it is part of the key of cached ones
  blocks: ClassVar[tuple[str, ...]] = ("conv_1a", "conv_2b", "conv_2c", *WIDTHS)  # stem to last
  mean: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)  # of pixels in 0..1: the network expects -1..1
  std: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)

  def setup(self):
    self.trunk = [self._block(name) for name in self.blocks]
    self.classifier = Head(self.tasks, self.head_kind, self.hidden, self.dropout, name="head")

  def _block(self, name: str) -> nn.Module:
    bn = self.bn if self.bn == "estimate" or name in self.trained_blocks else "stored"
    share = VARIANTS[self.variant]
    if name in WIDTHS:
      return Mixed(tuple(w // share for w in WIDTHS[name]), bn, self.dtype, name=name)
    width, k, s = {"conv_1a": (64, 7, 2), "conv_2b": (64, 1, 1), "conv_2c": (192, 3, 1)}[name]
    return ConvUnit(width // share, (k, k, k), (s, s, s), bn, self.dtype, name=name)

  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, 3) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    x = video.astype(self.dtype)
    for name, block in zip(self.blocks, self.trunk, strict=True):
      if name in POOLS:
        x = ops.max_pool3d(x, *POOLS[name])
      x = block(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)

  def pool(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    """Tokens (B, N, D) -> (B, 1, D), all that the head needs: `head(pooled, (1, 1, 1))` gives the same logits."""
    return self.classifier.pool(tokens, grid)

  def head(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False) -> dict[str, jax.Array]:
    """Tokens (B, N, D), pooled or not -> {task: (B, K)} float32."""
    return self.classifier(tokens, grid, train)

  def __call__(self, video: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    """Video (B, T, H, W, 3) -> {task: (B, K)} float32."""
    return self.head(*self.features(video, train), train)
