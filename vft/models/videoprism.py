"""VideoPrism (arXiv:2402.13217): a factorised encoder (arXiv:2103.15691, sec. 3.3) whose places keep their own tokens.

Each frame's patches pass a transformer; then each place passes a second one, over the frames. Sizes are those of
google-deepmind/videoprism (videoprism/models.py, CONFIGS), which takes pixels in 0..1 at 288 x 288, 16 frames for B and
8 for L. Scores of attention are capped at 50 by a tanh; scales of norms are stored less one. The authors publish the
encoder alone: a head stands on the mean token unless told otherwise.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.normalisation import Statistics
from vft.models.transformer import Block
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel

Grid = tuple[int, int, int]


class Size(NamedTuple):
  """The MLP is four times as wide; `time_depth` is the depth of the second transformer, `cap` that of scores."""
  width: int
  depth: int
  heads: int
  time_depth: int = 4
  patch: int = 18
  cap: float = 50.0


BASE = Size(768, 12, 12)


class Norm(nn.Module):
  """LayerNorm whose scale is stored less one."""
  dtype: jnp.dtype = jnp.float32
  epsilon: float = 1e-6

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    scale, bias = (self.param(name, nn.initializers.zeros, x.shape[-1:]) for name in ("scale", "bias"))
    return jnp.asarray(ops.layer_norm(x, 1 + scale, bias, self.epsilon), self.dtype)


class Embed(TubeletEmbed):
  """Video (B, T, H, W, C) -> tokens (B T, H'W', D), each frame's with their positions, and the grid (T, H', W')."""

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, Grid]:
    x = self.project(video)
    b, t, h, w, d = x.shape
    x = x + self.near_zero("pos_space", h, w).reshape(1, 1, h, w, d)
    return x.reshape(b * t, h * w, d), (t, h, w)


class TimeEmbed(TubeletEmbed):
  """Places over time (B H'W', T, D) -> the same with a position for each frame."""

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    return x + self.near_zero("pos_time", x.shape[1]).reshape(1, *x.shape[1:])


class VideoPrism(VideoModel):
  """Video (B, T, H, W, 3), in 0..1 -> {task: logits (B, K)} float32; any T, H and W >= patch."""
  family: ClassVar[str] = "videoprism"
  variants: ClassVar[dict[str, Size]] = {
      "": BASE,
      "B": BASE,
      "L": Size(1024, 24, 16),
      "tiny": Size(128, 2, 2, 1, 16, 1.0),
  }
  original: ClassVar[Spec] = Spec(pool="mean")
  residual: ClassVar[str] = "block_"
  normalisation: ClassVar[Statistics] = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

  @property
  def blocks(self) -> tuple[str, ...]:
    size = self.variants[self.variant]
    return ("embed", *(f"block_{i:02}" for i in range(size.depth)), "norm",
            "time_embed", *(f"time_block_{i:02}" for i in range(size.time_depth)), "time_norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Grid]:
    """Video (B, T, H, W, C) -> tokens (B, T H'W', D) and their grid (T, H', W')."""
    size, b = self.variants[self.variant], len(video)
    x, (t, h, w) = Embed(size.width, (size.patch, size.patch), self.dtype, name="embed")(video)

    def turned(x: jax.Array, rows: int, columns: int) -> jax.Array:
      """(B rows, columns, D) -> (B columns, rows, D)."""
      return x.reshape(b, rows, columns, size.width).swapaxes(1, 2).reshape(b * columns, rows, size.width)
    for name in self.blocks[1:-1]:
      if name == "norm":
        x = turned(Norm(self.dtype, name=name)(x), t, h * w)
      elif name == "time_embed":
        x = TimeEmbed(size.width, (), self.dtype, name=name)(x)
      else:
        x = self.rematted(Block)(size.heads, 4 * size.width, dtype=self.dtype, drop_path=self.block_drop(name),
                                 cap=size.cap, norm=Norm, name=name)(x, train)
    x = turned(Norm(self.dtype, name="time_norm")(x), h * w, t)
    return x.reshape(b, t * h * w, size.width), (t, h, w)
