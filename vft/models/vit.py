"""Vision transformers of single frames (arXiv:2010.11929), pretrained on images; each frame passes by itself.

DINOv2 (arXiv:2304.07193; registers arXiv:2309.16588), CLIP's image tower (arXiv:2103.00020) and SigLIP's
(arXiv:2303.15343). Sizes are those of facebookresearch/dinov2 (`models/vision_transformer.py`) and of the published
configurations of openai/clip-vit-* and google/siglip-*; the MLP is four times as wide as the tokens in all of them.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.errors import ConfigError
from vft.models.heads import Spec
from vft.models.transformer import Attention, Block, Mlp
from vft.models.video_model import VideoModel

POSITIONS = nn.initializers.truncated_normal(0.02)


class Kind(NamedTuple):
  """What all sizes of one publication share."""
  mean: tuple[float, float, float]  # of pixels in 0..1
  std: tuple[float, float, float]
  activation: str = "gelu"
  epsilon: float = 1e-6
  patch_bias: bool = True
  class_token: bool = True
  embed_norm: bool = False  # a LayerNorm before the first block
  layer_scale: float = 0.0
  pooler: bool = False  # attention pooling makes the token that stands for the frame


KINDS = {
    "dinov2": Kind((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), layer_scale=1.0),
    "clip": Kind((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711), "quick_gelu", 1e-5,
                 patch_bias=False, embed_norm=True),
    "siglip": Kind((0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "gelu_tanh", class_token=False, pooler=True),
}


class Size(NamedTuple):
  """Kind, side of a patch in pixels, D, number of blocks and of attention heads, register tokens."""
  kind: str
  patch: int
  width: int
  depth: int
  heads: int
  registers: int = 0


class Embed(nn.Module):
  """Frames (N, H, W, C) -> tokens (N, [class token, registers,] H'W', D) with positions; registers have none.

  A rest of H or W that is no whole patch is left out, as the originals' convolution does.
  """
  size: Size
  kind: Kind
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, frames: jax.Array) -> jax.Array:
    (n, height, width, c), p, d = frames.shape, self.size.patch, self.size.width
    h, w = height // p, width // p
    x = frames[:, :h * p, :w * p].astype(self.dtype).reshape(n, h, p, w, p, c)
    x = x.transpose(0, 1, 3, 2, 4, 5).reshape(n, h * w, p * p * c)
    kernel = self.param("kernel", nn.initializers.lecun_normal(), (p, p, c, d))
    x = x @ kernel.reshape(-1, d).astype(self.dtype)
    if self.kind.patch_bias:
      x = x + self._row("bias", nn.initializers.zeros, (d,))
    x = x + self._row("pos_space", POSITIONS, (h, w, d))
    if self.kind.class_token:
      first = self._row("cls_token", POSITIONS, (d,)) + self._row("cls_position", POSITIONS, (d,))
      extra = [self._row("registers", POSITIONS, (self.size.registers, d))] if self.size.registers else []
      x = jnp.concatenate([*(jnp.broadcast_to(y, (n, *y.shape[1:])) for y in (first, *extra)), x], axis=1)
    return nn.LayerNorm(epsilon=self.kind.epsilon, dtype=self.dtype, name="norm")(x) if self.kind.embed_norm else x

  def _row(self, name: str, init: nn.initializers.Initializer, shape: tuple[int, ...]) -> jax.Array:
    """A parameter (..., D) as (1, M, D)."""
    return self.param(name, init, shape).reshape(1, -1, shape[-1]).astype(self.dtype)


class Pooler(nn.Module):
  """A learned query attends to the tokens of a frame, then y + mlp(norm(y)): (N, M, D) -> (N, 1, D)."""
  heads: int
  kind: Kind
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    n, _, d = x.shape
    query = self.param("query", POSITIONS, (1, 1, d)).astype(self.dtype)
    y = Attention(self.heads, dtype=self.dtype, name="attention")(jnp.broadcast_to(query, (n, 1, d)), x)
    z = nn.LayerNorm(epsilon=self.kind.epsilon, dtype=self.dtype, name="norm")(y)
    return y + Mlp(4 * d, self.kind.activation, self.dtype, name="mlp")(z)


class ViT(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. H and W at least one patch.

  Its prefix tokens are one per frame: the class token (CLIP's is its `pooler_output`), or SigLIP's pooled one.
  """
  family: ClassVar[str] = "vit"
  variants: ClassVar[dict[str, Size]] = {
      "": Size("dinov2", 14, 384, 12, 6),
      "dinov2_s14": Size("dinov2", 14, 384, 12, 6),
      "dinov2_b14": Size("dinov2", 14, 768, 12, 12),
      "dinov2_l14": Size("dinov2", 14, 1024, 24, 16),
      "dinov2_s14_reg": Size("dinov2", 14, 384, 12, 6, 4),
      "dinov2_b14_reg": Size("dinov2", 14, 768, 12, 12, 4),
      "dinov2_l14_reg": Size("dinov2", 14, 1024, 24, 16, 4),
      "clip_b32": Size("clip", 32, 768, 12, 12),
      "clip_b16": Size("clip", 16, 768, 12, 12),
      "clip_l14": Size("clip", 14, 1024, 24, 16),
      "siglip_b16": Size("siglip", 16, 768, 12, 12),
      "siglip_l16": Size("siglip", 16, 1024, 24, 16),
      "tiny": Size("dinov2", 8, 32, 2, 4),
      "reg_tiny": Size("dinov2", 8, 32, 2, 4, 4),
      "clip_tiny": Size("clip", 8, 32, 2, 4),
      "siglip_tiny": Size("siglip", 8, 32, 2, 4),
  }
  original: ClassVar[Spec] = Spec(pool="cls")  # DINOv2's published classifier is pool="cls_mean"
  residual: ClassVar[str] = "block_"

  @classmethod
  def statistics(cls, variant: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Those of the publication's image processor."""
    kind = KINDS[cls.variants[variant].kind]
    return kind.mean, kind.std

  @property
  def blocks(self) -> tuple[str, ...]:
    size = self.variants[self.variant]
    last = ("norm", "pooler") if KINDS[size.kind].pooler else ("norm",)
    return ("embed", *(f"block_{i:02}" for i in range(size.depth)), *last)

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, T + TH'W', D), those of the frames first, and the grid (T, H', W')."""
    (b, t, height, width, c), size = video.shape, self.variants[self.variant]
    kind, h, w = KINDS[size.kind], height // size.patch, width // size.patch
    if not h * w:
      raise ConfigError(f"Frames of {height} x {width} hold no patch of {size.patch} x {size.patch} pixels.")
    x = Embed(size, kind, self.dtype, name="embed")(video.reshape(b * t, height, width, c))
    for name in self.blocks[1:1 + size.depth]:
      x = self.rematted(Block)(size.heads, 4 * size.width, kind.epsilon, kind.activation, layer_scale=kind.layer_scale,
                               dtype=self.dtype, drop_path=self.block_drop(name), name=name)(x, train)
    x = nn.LayerNorm(epsilon=kind.epsilon, dtype=self.dtype, name="norm")(x)
    first = Pooler(size.heads, kind, self.dtype, name="pooler")(x) if kind.pooler else x[:, :1]
    patches = x[:, x.shape[1] - h * w:]
    return jnp.concatenate([y.reshape(b, -1, size.width) for y in (first, patches)], axis=1), (t, h, w)
