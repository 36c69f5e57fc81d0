"""V-JEPA 2 (arXiv:2506.09985): a plain ViT on tubelets whose queries and keys are turned by their place, and its probe.

Sizes are those of facebookresearch/vjepa2 (src/models/vision_transformer.py): ViT-L/16, ViT-H/16 and ViT-g/16, all with
tubelets of two frames. A third of a head's channels is turned by the frame, a third by the row, a third by the column;
a few are left over. Nothing of that is a parameter, so any clip will do. The published classifiers, on
Something-Something v2 and Diving48, are attentive probes of depth 4 on the frozen trunk (configs/eval).
"""
import functools
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.models.heads import Spec
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.transformer import Block, LayerNorm
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel

Triple = tuple[int, int, int]


class Size(NamedTuple):
  """Of a trunk; published inputs are 256 x 256 pixels, those of the larger g 384 x 384."""
  width: int
  depth: int
  heads: int
  mlp: int
  patch: int = 16


LARGE = Size(1024, 24, 16, 4096)


class Embed(TubeletEmbed):
  """Video (B, T, H, W, C) -> tokens (B, N, D), and their grid (T', H', W')."""

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, Triple]:
    x = self.project(video)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)


class VJEPA2(VideoModel):
  """Video (B, T, H, W, 3), normalised -> {task: logits (B, K)} float32; any T >= tubelet, H and W >= patch."""
  tubelet: int = 2  # frames of a token; the kernel of another length is interpolated when weights are loaded

  family: ClassVar[str] = "vjepa2"
  variants: ClassVar[dict[str, Size]] = {
      "": LARGE,
      "L/16x2": LARGE,
      "H/16x2": Size(1280, 32, 16, 5120),
      "g/16x2": Size(1408, 40, 22, 6144),
      "tiny": Size(32, 2, 2, 64),
  }
  options: ClassVar[tuple[str, ...]] = ("tubelet",)
  original: ClassVar[Spec] = Spec(kind="attentive", depth=4)
  classes: ClassVar[int] = 174  # Something-Something v2; 48 of Diving48 are published too
  residual: ClassVar[str] = "block_"
  normalisation: ClassVar[Statistics] = IMAGENET

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("embed", *(f"block_{i:02}" for i in range(self.variants[self.variant].depth)), "norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Triple]:
    """Video (B, T, H, W, C) -> tokens (B, N, D), normalised, and their grid (T', H', W')."""
    size = self.variants[self.variant]
    x, grid = Embed(size.width, (self.tubelet, size.patch, size.patch), self.dtype, name="embed")(video)
    for name in self.blocks[1:-1]:
      x = self.rematted(Block)(size.heads, size.mlp, dtype=self.dtype, drop_path=self.block_drop(name),
                               turn=functools.partial(turned, grid=grid), name=name)(x, train)
    return LayerNorm(dtype=self.dtype, name="norm")(x), grid


def turned(x: jax.Array, grid: Triple) -> jax.Array:
  """Queries or keys (B, N, heads, d) of a grid of N tokens, pairs of channels turned (arXiv:2104.09864) by their place.

  The angles of a third's channels are those of its first half twice, so the two of a pair are turned by different ones:
  an oversight, the authors note in src/models/utils/modules.py, that the weights have learned to live with.
  """
  third = x.shape[-1] // 3 // 2 * 2
  first = 1 / 10000 ** (np.arange(third // 2) / (third / 2))
  tables = [np.arange(n).reshape(-1, 1) * np.tile(first, 2).reshape(1, -1) for n in grid]  # (T', third), ...

  def everywhere(of) -> jax.Array:
    shapes = [[n if i == axis else 1 for i, n in enumerate(grid)] for axis in range(3)]
    full = [jnp.broadcast_to(jnp.asarray(of(table), jnp.result_type(x, jnp.float32)).reshape(*shape, third),
                             (*grid, third)) for table, shape in zip(tables, shapes, strict=True)]
    return jnp.concatenate(full, axis=-1).reshape(1, -1, 1, 3 * third)
  y, left = x[..., :3 * third], x[..., 3 * third:]
  pairs = y.reshape(*y.shape[:-1], -1, 2)
  across = jnp.stack([-pairs[..., 1], pairs[..., 0]], axis=-1).reshape(y.shape)
  y = y * everywhere(np.cos) + across * everywhere(np.sin)
  return jnp.concatenate([y.astype(x.dtype), left], axis=-1)
