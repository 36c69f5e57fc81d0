"""VideoMAE (arXiv:2203.12602, sec. 3 and appendix A) and VideoMAE v2 (arXiv:2303.16727): a plain ViT on tubelets.

Sizes, the epsilon of the norms and the pixel statistics (ImageNet's) are those of the published code, MCG-NJU/VideoMAE
and OpenGVLab/VideoMAEv2. transformers' configs of VideoMAE-S say 16 heads; the weights were trained with 6, as here.
"""
import functools
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from scipy import ndimage

from vft.models.heads import Spec
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.transformer import Block
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """Of a trunk; `grid` is that of the published input, 16 x 224 x 224, on which the positions are defined."""
  width: int
  depth: int
  heads: int
  mlp: int
  patch: int = 16
  grid: tuple[int, int, int] = (8, 14, 14)


BASE = Size(768, 12, 12, 3072)


class Embed(TubeletEmbed):
  """Video (B, T, H, W, C) -> tokens (B, N, D) with their positions, and their grid (T', H', W')."""
  published: tuple[int, int, int] = BASE.grid

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, tuple[int, int, int]]:
    x = self.project(video)  # (B, T', H', W', D)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d) + jnp.asarray(positions(self.published, (t, h, w), d), x.dtype), (t, h, w)


class VideoMAE(VideoModel):
  """Video (B, T, H, W, 3) -> {task: logits (B, K)} float32; any T >= tubelet, H and W >= patch.

  The published classifier takes a LayerNorm of the mean token, then a dense layer. The positions are no parameters: one
  sinusoid over the numbered tokens of the published grid, interpolated along each axis for another grid.
  """
  tubelet: int = 2  # frames of a token; the kernel of another length is interpolated when weights are loaded

  family: ClassVar[str] = "videomae"
  variants: ClassVar[dict[str, Size]] = {
      "": BASE,
      "S/16x2": Size(384, 12, 6, 1536),
      "B/16x2": BASE,
      "L/16x2": Size(1024, 24, 16, 4096),
      "H/16x2": Size(1280, 32, 16, 5120),
      "g/14x2": Size(1408, 40, 16, 6144, 14, (8, 16, 16)),  # v2 only
      "tiny": Size(32, 2, 2, 64, 16, (2, 2, 2)),
  }
  options: ClassVar[tuple[str, ...]] = ("tubelet",)
  original: ClassVar[Spec] = Spec(pool="mean", norm=1e-6)
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "block_"
  normalisation: ClassVar[Statistics] = IMAGENET

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("embed", *(f"block_{i:02}" for i in range(self.variants[self.variant].depth)))

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, 3) -> tokens (B, N, D) of the last block, without a norm, and their grid (T', H', W')."""
    size = self.variants[self.variant]
    x, grid = Embed(size.width, (self.tubelet, size.patch, size.patch), self.dtype, size.grid, name="embed")(video)
    for name in self.blocks[1:]:
      x = self.rematted(Block)(size.heads, size.mlp, bias=("q", "v", "out"), dtype=self.dtype,
                               drop_path=self.block_drop(name), name=name)(x, train)
    return x, grid


@functools.cache
def positions(published: tuple[int, int, int], grid: tuple[int, int, int], width: int) -> np.ndarray:
  """Sinusoids (1, N, D) of the token's number (arXiv:1706.03762, sec. 3.5) on the published grid, fitted to `grid`."""
  number = np.arange(np.prod(published)).reshape(-1, 1)
  angle = number / np.power(10000, 2 * (np.arange(width) // 2) / width).reshape(1, -1)
  table = np.where(np.arange(width).reshape(1, -1) % 2, np.cos(angle), np.sin(angle)).reshape(*published, width)
  if grid != published:
    factors = [want / have for want, have in zip(grid, published, strict=True)]
    table = ndimage.zoom(table, (*factors, 1), order=1, mode="nearest", grid_mode=True)
  return np.asarray(table, np.float32).reshape(1, -1, width)
