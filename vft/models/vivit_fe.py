"""ViViT's factorised encoder (arXiv:2103.15691, sec. 3.3), "Model 2" of the paper: space first, then time.

The tokens of one tubelet of time and their class token pass a transformer of their own; a second transformer, with its
own class token, sees the class tokens of all times. Sizes and pixel statistics are those of google-research/scenic
(scenic/projects/vivit/configs/*/vivit_{base,large}_factorised_encoder.py; "epic" is that of epic_kitchens), whose
`zero_centering` makes pixels -1..1 and nothing more: tubelets of 2 frames of 16 x 16 pixels, 32 frames of 224 x 224.
"""
from typing import ClassVar, NamedTuple

import jax
from flax import linen as nn

from vft.models.heads import Spec
from vft.models.transformer import Block
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel

Grid = tuple[int, int, int]


class Size(NamedTuple):
  """The MLP is four times as wide; `time_depth` is the depth of the second transformer."""
  width: int
  depth: int
  time_depth: int
  heads: int
  patch: int = 16


BASE = Size(768, 12, 4, 12)


class Embed(TubeletEmbed):
  """Video (B, T, H, W, C) -> tokens (B T', 1 + H'W', D), a position for each place, and the grid (T', H', W')."""

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, Grid]:
    x = self.project(video)
    b, t, h, w, d = x.shape
    x = x + self.near_zero("pos_space", h, w).reshape(1, 1, h, w, d)
    return self.with_class_token(x.reshape(b * t, 1, h, w, d)), (t, h, w)


class TimeEmbed(TubeletEmbed):
  """Vectors of the times (B, T', D) -> (B, 1 + T', D), with their positions and a class token of the clip."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, t, d = x.shape
    x = x + self.near_zero("pos_time", t).reshape(1, t, d)
    return self.with_class_token(x.reshape(b, t, 1, 1, d))


class ViViTFE(VideoModel):
  """Video (B, T, H, W, 3), normalised to -1..1 -> {task: logits (B, K)} float32; one class token for the clip."""
  family: ClassVar[str] = "vivit_fe"
  variants: ClassVar[dict[str, Size]] = {
      "": BASE,
      "B/16x2": BASE,
      "L/16x2": Size(1024, 24, 24, 16),
      "L/16x2 epic": Size(1024, 24, 4, 16),
      "tiny": Size(128, 2, 1, 2),
  }
  original: ClassVar[Spec] = Spec(pool="cls")
  classes: ClassVar[int] = 400  # Kinetics-400; weights for Kinetics-600 (600) and EPIC-KITCHENS (300 + 97) too
  residual: ClassVar[str] = "block_"
  options: ClassVar[tuple[str, ...]] = ("tubelet",)
  tubelet: int = 2  # frames of a token; the kernel of another length is interpolated when weights are loaded

  @property
  def blocks(self) -> tuple[str, ...]:
    size = self.variants[self.variant]
    return ("embed", *(f"block_{i:02}" for i in range(size.depth)), "norm",
            "time_embed", *(f"time_block_{i:02}" for i in range(size.time_depth)), "time_norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Grid]:
    """Video (B, T, H, W, C) -> tokens (B, 1 + T', D), the class token first, and the grid (T', 1, 1) of the others."""
    size = self.variants[self.variant]
    x, (t, _, _) = Embed(size.width, (self.tubelet, size.patch, size.patch), self.dtype, name="embed")(video)
    for name in self.blocks[1:-1]:
      if name == "norm":
        x = nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name=name)(x)[:, 0].reshape(len(video), t, size.width)
      elif name == "time_embed":
        x = TimeEmbed(size.width, (), self.dtype, name=name)(x)
      else:  # The tanh form of GELU: flax's default, and so the published one.
        x = self.rematted(Block)(size.heads, 4 * size.width, activation="gelu_tanh", dtype=self.dtype,
                                 drop_path=self.block_drop(name), name=name)(x, train)
    return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="time_norm")(x), (t, 1, 1)
