"""PanEcho (doi:10.1001/jama.2025.8731): ConvNeXt-T on each frame, then a transformer over time (arXiv:1706.03762).

As CarDS-Yale/PanEcho has it (src/models.py), with what the published weights were trained on: their code takes the
planes of a clip, T of the first channel, then T of the second, then of the third, and makes a picture of each three in
turn. So a picture of a grey clip holds three frames in a row, and the T pictures pass the clip three times.
Without that: model.name=convnext with model.head=transformer.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import convnext
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.temporal import sinusoids
from vft.models.transformer import Attention, LayerNorm, Mlp
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """The frames' encoder, and blocks and heads over time."""
  frames: convnext.Size = convnext.Size()
  depth: int = 4
  heads: int = 8


class TimeBlock(nn.Module):
  """Post-norm: norm1(x + attention(x)), then norm2(x + mlp(x)), one ReLU of the same width: (B, T, D) -> (B, T, D)."""
  heads: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    del train  # published without dropout here
    y = Attention(self.heads, dtype=self.dtype, name="over_time")(x)
    x = LayerNorm(1e-5, self.dtype, name="norm1")(x + y)
    y = Mlp(x.shape[-1], "relu", self.dtype, name="mlp")(x)
    return LayerNorm(1e-5, self.dtype, name="norm2")(x + y)


def pictures(video: jax.Array) -> jax.Array:
  """(B, T, H, W, C) -> (B T, H, W, C), of C planes each, in the order of channels, then frames."""
  b, t, h, w, c = video.shape
  return jnp.moveaxis(jnp.moveaxis(video, -1, 1).reshape(b * t, c, h, w), 1, -1)


class PanEcho(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32; one token a picture, the mean is pooled.

  Trained on 16 successive frames of 224 x 224, cut out of 256 x 256; each task has a layer of its own.
  """
  family: ClassVar[str] = "panecho"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),
      "tiny": Size(convnext.Size((1, 1), 16), depth=1),
  }
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = IMAGENET  # of red, green, blue; PanEcho reads files the other way

  @property
  def blocks(self) -> tuple[str, ...]:
    size = self.variants[self.variant]
    return (*convnext.blocks(size.frames), "norm", *(f"time_block_{i:02}" for i in range(size.depth)))

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, T, D) and the grid (T, 1, 1)."""
    (b, t), size = video.shape[:2], self.variants[self.variant]
    x = convnext.maps(self, size.frames, pictures(video), train).mean(axis=(1, 2)).reshape(b, t, -1)
    x = LayerNorm(dtype=self.dtype, name="norm")(x)
    x = x + positions(t, x.shape[-1]).astype(self.dtype)[None]
    for i in range(size.depth):
      x = self.rematted(TimeBlock)(size.heads, self.dtype, name=f"time_block_{i:02}")(x, train)
    return x, (t, 1, 1)


def positions(length: int, width: int) -> jax.Array:
  """(length, width): `sinusoids`, each cosine beside its sine."""
  return jnp.stack(jnp.split(sinusoids(length, width), 2, axis=1), axis=-1).reshape(length, width)
