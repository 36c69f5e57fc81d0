"""MViTv2 (arXiv:2112.01526, sec. 3 and table 1): a pyramid of transformer stages with pooled attention.

Sizes are those of facebookresearch/SlowFast (configs/Kinetics/MVITv2_S_16x4.yaml and MVITv2_B_32x3.yaml): "S/16x4"
takes 16 frames, every fourth; "B/32x3" 32, every third. torchvision has S alone. "echoprime" is S with the pixel
statistics of EchoPrime (arXiv:2410.09704; echonet/EchoPrime, echo_prime/model.py), 16 frames, every second.
Relative positions take their sizes from the clip that the model is initialised with; the originals interpolate them
linearly for another clip, convert.surgery by cubic convolution.
"""
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import drop_path, he_normal
from vft.models.normalisation import PYSLOWFAST, Statistics
from vft.models.transformer import Dense, LayerNorm, Mlp
from vft.models.video_model import VideoModel

Triple = tuple[int, int, int]
NEAR_ZERO = nn.initializers.truncated_normal(0.02)


class Size(NamedTuple):
  """Each stage has twice the width and heads of the one before, at half its height and width."""
  depths: tuple[int, ...]
  width: int = 96  # of the first stage, and of every head
  kv_stride: int = 8  # of the first stage's keys and values; halved from stage to stage


class Embed(nn.Module):
  """Kernel 3 x 7 x 7, strides 2, 4, 4, and a class token: (B, T, H, W, C) -> (B, 1 + T'H'W', D) and (T', H', W')."""
  width: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, video: jax.Array) -> tuple[jax.Array, Triple]:
    shape, token = (3, 7, 7, video.shape[-1], self.width), self.param("cls_token", NEAR_ZERO, (self.width,))
    kernel, bias = self.param("kernel", he_normal, shape), self.param("bias", nn.initializers.zeros, (self.width,))
    x = ops.conv(video.astype(self.dtype), kernel.astype(self.dtype), (2, 4, 4), [(1, 1), (3, 3), (3, 3)],
                 dimension_numbers=("NDHWC", "DHWIO", "NDHWC"))
    b, t, h, w, d = x.shape
    x = ops.product(x).reshape(b, t * h * w, d) + bias.astype(self.dtype).reshape(1, 1, d)
    return jnp.concatenate([jnp.broadcast_to(token.astype(self.dtype).reshape(1, 1, d), (b, 1, d)), x], 1), (t, h, w)


class Pool(nn.Module):
  """A depthwise 3 x 3 x 3 kernel, one for all heads, and a LayerNorm: (B, 1 + N, D) -> (B, 1 + N', heads, D / heads).

  The class token, which comes first, is normalised only.
  """
  heads: int
  stride: int
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, grid: Triple) -> jax.Array:
    b, _, d = x.shape
    kernel = jnp.tile(self.param("kernel", he_normal, (3, 3, 3, 1, d // self.heads)).astype(self.dtype), self.heads)
    y = ops.depthwise_conv(x[:, 1:].reshape(b, *grid, d), kernel, (1, self.stride, self.stride), [(1, 1)] * 3,
                           dimension_numbers=("NDHWC", "DHWIO", "NDHWC"), feature_group_count=d)
    x = jnp.concatenate([x[:, :1], y.reshape(b, -1, d)], axis=1)
    return LayerNorm(dtype=self.dtype, name="norm")(x.reshape(b, -1, self.heads, d // self.heads))


class PooledAttention(nn.Module):
  """Tokens (B, 1 + THW, C) -> (B, 1 + T'H'W', width): pooled queries look at pooled keys, and are added to the result.

  A score also has the query times a learned vector for how far the key is along each axis (sec. 3, eq. 3 and 4). These
  are products as well: of the query's with all distances along an axis and, as more channels of a key, its place there.
  """
  heads: int
  width: int
  strides: tuple[int, int]  # in space, of queries and of keys
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, grid: Triple) -> jax.Array:
    q, k, v = (Pool(self.heads, self.strides[name != "q"], self.dtype, name=f"pool_{name}")(
        Dense(self.width, dtype=self.dtype, name=name)(x), grid) for name in "qkv")
    seen = strided(grid, self.strides[1])
    far, where = self._distances(q, strided(grid, self.strides[0]), seen), places(seen)
    d, wide = q.shape[-1], q.shape[-1] + where.shape[-1]
    # `ops.attention` divides by the square root of `wide`; the score's own divisor is that of d.
    queries = jnp.concatenate([q * (wide / d)**0.5, far * wide**0.5], axis=-1)
    where = jnp.broadcast_to(jnp.asarray(where, k.dtype)[None, :, None], (*k.shape[:3], wide - d))
    values = jnp.pad(v, ((0, 0), (0, 0), (0, 0), (0, wide - d)))
    y = ops.attention(queries, jnp.concatenate([k, where], axis=-1), values)[..., :d]
    y = jnp.concatenate([y[:, :1], y[:, 1:] + q[:, 1:]], axis=1).reshape(*y.shape[:2], self.width)
    return Dense(self.width, dtype=self.dtype, name="out")(y)

  def _distances(self, q: jax.Array, grid: Triple, seen: Triple) -> jax.Array:
    """(B, 1 + N, heads, d) -> (B, 1 + N, heads, T + H + W of the keys); zeros of the class token."""
    (b, _, heads, d), out = q.shape, []
    patches = q[:, 1:].reshape(b, *grid, heads, d)
    for axis, name, n, m in zip("thw", ("time", "height", "width"), grid, seen, strict=True):
      table = self.param(f"pos_{name}", NEAR_ZERO, (2 * max(n, m) - 1, d)).astype(self.dtype)
      out.append(jnp.einsum(f"bthwnd,{axis}kd->bthwnk", patches, table[apart(n, m)]))
    far = jnp.concatenate(out, axis=-1)
    return jnp.pad(far.reshape(b, -1, heads, sum(seen)), ((0, 0), (1, 0), (0, 0), (0, 0)))


class Block(nn.Module):
  """Tokens (B, 1 + THW, C) -> (B, 1 + T'H'W', width); the first block of a stage is wider and strides its queries."""
  heads: int
  width: int
  strides: tuple[int, int]
  dtype: jnp.dtype
  drop_path: float

  @nn.compact
  def __call__(self, x: jax.Array, grid: Triple, train: bool = False) -> jax.Array:
    y = LayerNorm(dtype=self.dtype, name="norm1")(x)
    if x.shape[-1] != self.width:
      x = Dense(self.width, dtype=self.dtype, name="project")(y)
    if self.strides[0] > 1:
      (b, _, d), s = x.shape, self.strides[0]
      patches = ops.max_pool(x[:, 1:].reshape(b, *grid, d), (1, s + 1, s + 1), (1, s, s), [(0, 0), (1, 1), (1, 1)])
      x = jnp.concatenate([x[:, :1], patches.reshape(b, -1, d)], axis=1)
    y = PooledAttention(self.heads, self.width, self.strides, self.dtype, name="pooled")(y, grid)
    x = x + drop_path(self.drop_path, train, y, "drop_path1")
    y = Mlp(4 * self.width, dtype=self.dtype, name="mlp")(LayerNorm(dtype=self.dtype, name="norm2")(x))
    return x + drop_path(self.drop_path, train, y, "drop_path2")


class MViT(VideoModel):
  """Video (B, T, H, W, 3), normalised -> {task: logits (B, K)} float32; one class token for the clip."""
  family: ClassVar[str] = "mvit"
  variants: ClassVar[dict[str, Size]] = {
      "": Size((1, 2, 11, 2)),
      "S/16x4": Size((1, 2, 11, 2)),
      "B/32x3": Size((2, 3, 16, 3)),
      "echoprime": Size((1, 2, 11, 2)),
      "tiny": Size((1, 1), 16, 2),
  }
  original: ClassVar[Spec] = Spec(pool="cls")
  classes: ClassVar[int] = 400  # EchoPrime's file has a projection to 512 in this place
  residual: ClassVar[str] = "block_"

  @classmethod
  def statistics(cls, variant: str) -> Statistics:
    if variant == "echoprime":
      return ((29.110628 / 255, 28.076836 / 255, 29.096405 / 255), (47.989223 / 255, 46.456997 / 255, 47.20083 / 255))
    return PYSLOWFAST

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("embed", *(f"block_{i:02}" for i in range(sum(self.variants[self.variant].depths))), "norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Triple]:
    """Video (B, T, H, W, C) -> tokens (B, 1 + T'H'W', D), the class token first, and the grid; T' = T / 2."""
    size = self.variants[self.variant]
    x, grid = Embed(size.width, self.dtype, name="embed")(video)
    stages = [(stage, i) for stage, depth in enumerate(size.depths) for i in range(depth)]
    for name, (stage, i) in zip(self.blocks[1:-1], stages, strict=True):
      strides = 2 if stage and not i else 1, max(size.kv_stride >> stage, 1)
      x = self.rematted(Block, static=(2, 3))(2**stage, size.width * 2**stage, strides, self.dtype,
                                              self.block_drop(name), name=name)(x, grid, train)
      grid = strided(grid, strides[0])
    return LayerNorm(dtype=self.dtype, name="norm")(x), grid


def strided(grid: Triple, stride: int) -> Triple:
  """What a kernel of 3 with padding 1 makes of a grid; time is not strided."""
  return grid[0], -(-grid[1] // stride), -(-grid[2] // stride)


def apart(queries: int, keys: int) -> np.ndarray:
  """(queries, keys): the row, of 2 max(queries, keys) - 1, for the distance of a pair along one axis (eq. 4)."""
  q, k = (np.float32(max(a / b, 1)) * np.arange(n, dtype=np.float32)
          for a, b, n in ((keys, queries, queries), (queries, keys, keys)))
  return (q[:, None] + k[::-1][None]).astype(int)


def places(grid: Triple) -> np.ndarray:
  """(1 + THW, T + H + W): ones where a token is along each axis; zeros of the class token."""
  ones = [np.eye(n, dtype=np.float32)[i.reshape(-1)] for n, i in zip(grid, np.indices(grid), strict=True)]
  return np.pad(np.concatenate(ones, axis=-1), ((1, 0), (0, 0)))
