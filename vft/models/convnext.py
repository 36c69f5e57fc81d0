"""ConvNeXt (arXiv:2201.03545, sec. 2 and 3.1) on each frame by itself, as torchvision 0.29.1 has it.

Before the classifier torchvision normalises the mean over a frame: that LayerNorm is the head's.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import drop_path, he_normal
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.transformer import LayerNorm, Mlp
from vft.models.video_model import VideoModel


class Size(NamedTuple):
  """Blocks of each layer, width of the first; each layer has twice the width of the one before."""
  depths: tuple[int, ...] = (3, 3, 9, 3)
  width: int = 96


class Cells(nn.Module):
  """Each cell of pixels -> one vector: (B T, H, W, C) -> (B T, H / cell, W / cell, width); what is over is left out."""
  width: int
  cell: int
  norm_first: bool  # the stem normalises what it gives, the others what they get
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    del train
    norm = LayerNorm(dtype=self.dtype, name="norm")
    x = norm(x) if self.norm_first else x
    conv = nn.Conv(self.width, (self.cell, self.cell), (self.cell, self.cell), "VALID", dtype=self.dtype,
                   kernel_init=he_normal, conv_general_dilated=ops.conv, name="conv")
    x = ops.product(conv(x))
    return x if self.norm_first else norm(x)


class Block(nn.Module):
  """x + scale * mlp(norm(depthwise 7 x 7)): (B T, H, W, D) -> (B T, H, W, D)."""
  dtype: jnp.dtype
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    d = x.shape[-1]
    conv = nn.Conv(d, (7, 7), padding=[(3, 3), (3, 3)], feature_group_count=d, dtype=self.dtype, kernel_init=he_normal,
                   conv_general_dilated=ops.depthwise_conv, name="conv")
    y = LayerNorm(dtype=self.dtype, name="norm")(ops.product(conv(x)))
    y = Mlp(4 * d, dtype=self.dtype, name="mlp")(y)
    scale = self.param("scale", nn.initializers.constant(1e-6), (d,))
    return x + drop_path(self.drop_path, train, y * scale.astype(self.dtype).reshape(1, 1, 1, d))


def blocks(size: Size) -> tuple[str, ...]:
  """stem, layer1_00, ..., down2, layer2_00, ..."""
  layers = ((*((f"down{i}",) if i > 1 else ()), *(f"layer{i}_{j:02}" for j in range(depth)))
            for i, depth in enumerate(size.depths, 1))
  return ("stem", *(name for layer in layers for name in layer))


def maps(model: VideoModel, size: Size, frames: jax.Array, train: bool) -> jax.Array:
  """Frames (B T, H, W, C) -> (B T, H / 32, W / 32, D) by all `blocks`; inside a compact method of the model only."""
  x = frames.astype(model.dtype)
  for name in blocks(size):
    if name.startswith("layer"):
      block = model.rematted(Block)(model.dtype, model.block_drop(name), name=name)
    else:
      number = 1 if name == "stem" else int(name[4:])
      block = model.rematted(Cells)(size.width << number - 1, 4 if number == 1 else 2, number > 1, model.dtype,
                                    name=name)
    x = block(x, train)
  return x


class ConvNeXt(VideoModel):
  """Video (B, T, H, W, C), normalised by `statistics` -> {task: logits (B, K)} float32. Any size from 32 on."""
  family: ClassVar[str] = "convnext"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),  # T
      "T": Size(),
      "S": Size((3, 3, 27, 3)),
      "B": Size((3, 3, 27, 3), 128),
      "L": Size((3, 3, 27, 3), 192),
      "tiny": Size((1, 1), 16),
  }
  original: ClassVar[Spec] = Spec(temporal="logits", norm=1e-6)
  classes: ClassVar[int] = 1000
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = IMAGENET

  @property
  def blocks(self) -> tuple[str, ...]:
    return blocks(self.variants[self.variant])

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T, H / 32, W / 32)."""
    b, t, *frame = video.shape
    x = maps(self, self.variants[self.variant], video.reshape(b * t, *frame), train)
    _, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
