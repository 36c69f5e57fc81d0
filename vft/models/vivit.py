"""ViViT, joint space-time attention over tubelets (arXiv:2103.15691), "Model 1" of the paper.

ViViT-B/16x2: tubelets of 2 frames of 16 x 16 pixels, 32 frames of 224 x 224. Sizes and pixel statistics are those of
google-research/scenic (scenic/projects/vivit/configs/kinetics400/vivit_base_k400.py), whose `zero_centering` makes
pixels -1..1 and nothing more. The processor in transformers normalises once more by default; the script that converted
the weights has that off.
"""
from typing import ClassVar, NamedTuple

import jax
from flax import linen as nn

from vft.models.heads import Spec
from vft.models.transformer import Block
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """The MLP is four times as wide."""
  width: int = 768
  depth: int = 12
  heads: int = 12
  patch: int = 16


class Embed(TubeletEmbed):
  """Tubelets plus one position for each place in space and time."""

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, tuple[int, int, int]]:
    x = self.project(video)
    _, t, h, w, d = x.shape
    return self.with_class_token(x + self.near_zero("pos_joint", t, h, w).reshape(1, t, h, w, d)), (t, h, w)


class ViViT(VideoModel):
  """Video (B, T, H, W, 3), normalised to -1..1 -> {task: logits (B, K)} float32; one class token for the clip."""
  family: ClassVar[str] = "vivit"
  variants: ClassVar[dict[str, Size]] = {"": Size(), "B/16x2": Size(), "tiny": Size(width=32, depth=2, heads=4)}
  original: ClassVar[Spec] = Spec(pool="cls")
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "block_"
  options: ClassVar[tuple[str, ...]] = ("tubelet",)
  tubelet: int = 2  # frames of a token; the kernel of another length is interpolated when weights are loaded

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("embed", *(f"block_{i:02}" for i in range(self.variants[self.variant].depth)), "norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, 1 + T'H'W', D), the class token first, and their grid (T', H', W')."""
    size = self.variants[self.variant]
    x, grid = Embed(size.width, (self.tubelet, size.patch, size.patch), self.dtype, name="embed")(video)
    for name in self.blocks[1:-1]:
      # The tanh form of GELU: flax's default, and so the published one.
      x = self.rematted(Block)(size.heads, 4 * size.width, activation="gelu_tanh", dtype=self.dtype,
                               drop_path=self.block_drop(name), name=name)(x, train)
    return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x), grid
