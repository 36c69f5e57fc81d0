"""TimeSformer, divided space-time attention (arXiv:2102.05095): time first, then space, then the MLP.

All published sizes are a ViT-B/16; they differ in the clip: "B/16" 8 frames of 224 x 224, "HR" 16 of 448 x 448, "L" 96
of 224 x 224. Positions take their grid from the clip that the model is initialised with. Sizes and pixel statistics are
those of facebookresearch/TimeSformer (README.md, timesformer/models/vit.py, timesformer/config/defaults.py).

Endo-FM (arXiv:2306.16741; med-air/Endo-FM, models/timesformer.py) is the same network, "B/16". It was pre-trained with
ImageNet's pixel statistics (datasets/transform.py) and is fine-tuned with those of TimeSformer (datasets/ucf101.py).
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models.heads import Spec
from vft.models.layers import drop_path
from vft.models.normalisation import PYSLOWFAST, Statistics
from vft.models.transformer import Attention, Mlp
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """The MLP is four times as wide."""
  width: int = 768
  depth: int = 12
  heads: int = 12
  patch: int = 16


class Embed(TubeletEmbed):
  """Patches of each frame, plus a position in space and one in time; the class token has a position in space only."""

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, tuple[int, int, int]]:
    x = self.project(video)
    _, t, h, w, d = x.shape
    x = x + self.near_zero("pos_space", h, w).reshape(1, 1, h, w, d)
    x = x + self.near_zero("pos_time", t).reshape(1, t, 1, 1, d)
    return self.with_class_token(x), (t, h, w)


class DividedBlock(nn.Module):
  """Tokens (B, 1 + T'H'W', D) -> the same; `temporal_...` is what it has beyond `transformer.Block`.

  A patch attends to the same place in all frames, then to its frame and the class token. The class token takes part in
  every frame's attention, and its results are averaged over the frames.
  """
  heads: int
  dtype: jnp.dtype = jnp.float32
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, grid: tuple[int, int, int], train: bool = False) -> jax.Array:
    (b, _, d), t, n = x.shape, grid[0], grid[1] * grid[2]

    def norm(name, y):
      return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name=name)(y)
    token, x = x[:, :1], x[:, 1:]
    y = x.reshape(b, t, n, d).swapaxes(1, 2).reshape(b * n, t, d)
    y = Attention(self.heads, dtype=self.dtype, name="temporal_attention")(norm("temporal_norm", y))
    y = nn.Dense(d, dtype=self.dtype, name="temporal_dense")(y)
    y = y.reshape(b, n, t, d).swapaxes(1, 2).reshape(b, t * n, d)
    x = x + drop_path(self.drop_path, train, y, "temporal_drop_path")
    frames = jnp.concatenate([jnp.broadcast_to(token.reshape(b, 1, 1, d), (b, t, 1, d)), x.reshape(b, t, n, d)], axis=2)
    y = Attention(self.heads, dtype=self.dtype, name="attention")(norm("norm1", frames.reshape(b * t, 1 + n, d)))
    y = drop_path(self.drop_path, train, y.reshape(b, t, 1 + n, d), "drop_path1")
    x = jnp.concatenate([token + y[:, :, 0].mean(axis=1, keepdims=True), x + y[:, :, 1:].reshape(b, t * n, d)], axis=1)
    y = Mlp(4 * d, dtype=self.dtype, name="mlp")(norm("norm2", x))
    return x + drop_path(self.drop_path, train, y, "drop_path2")


class TimeSformer(VideoModel):
  """Video (B, T, H, W, 3), normalised -> {task: logits (B, K)} float32; one class token for the clip."""
  family: ClassVar[str] = "timesformer"
  variants: ClassVar[dict[str, Size]] = {"": Size(), "B/16": Size(), "HR": Size(), "L": Size(),
                                         "tiny": Size(width=32, depth=2, heads=4)}
  original: ClassVar[Spec] = Spec(pool="cls")
  residual: ClassVar[str] = "block_"
  classes: ClassVar[int] = 400  # Kinetics-400; weights for Kinetics-600 (600) and SSv2 (174) are published too
  normalisation: ClassVar[Statistics] = PYSLOWFAST

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("embed", *(f"block_{i:02}" for i in range(self.variants[self.variant].depth)), "norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, 1 + T'H'W', D), the class token first, and the grid (T', H', W'), T' = T."""
    size = self.variants[self.variant]
    x, grid = Embed(size.width, (size.patch, size.patch), self.dtype, name="embed")(video)
    for name in self.blocks[1:-1]:
      block = self.rematted(DividedBlock, static=(2, 3))
      x = block(size.heads, self.dtype, self.block_drop(name), name=name)(x, grid, train)
    return nn.LayerNorm(epsilon=1e-6, dtype=self.dtype, name="norm")(x), grid
