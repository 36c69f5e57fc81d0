"""Video Swin (arXiv:2106.13230, sec. 3): attention in windows of 8 x 7 x 7 tokens that shift from block to block.

Sizes are the paper's "Swin-T", "S" and "B"; names of stages, padding and pixel statistics those of torchvision 0.29.1
(models/video/swin_transformer.py). Along an axis that is no longer than the window there is one window and no shift.
Where height or width is shorter, torchvision and the authors look up their table of distances as if they were not; here
the distances are the true ones. At the published 224 x 224 none is.
"""
import functools
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from vft.models.heads import Spec
from vft.models.layers import drop_path
from vft.models.normalisation import IMAGENET, Statistics
from vft.models.transformer import Dense, LayerNorm, Mlp
from vft.models.tubelets import TubeletEmbed
from vft.models.video_model import VideoModel

Triple = tuple[int, int, int]
PATCH: Triple = (2, 4, 4)


class Size(NamedTuple):
  """`width` and `heads` are those of the first stage; each stage has twice those of the one before."""
  width: int = 96
  depths: tuple[int, ...] = (2, 2, 6, 2)
  heads: int = 3
  window: Triple = (8, 7, 7)


class Embed(TubeletEmbed):
  """Video (B, T, H, W, C) -> (B, T', H', W', D), normalised; the ends are filled up with zeros to whole tubelets."""

  @nn.compact
  def __call__(self, video: jax.Array) -> jax.Array:
    return LayerNorm(1e-5, self.dtype, name="norm")(self.project(filled(video, self.size)))


class WindowAttention(nn.Module):
  """(B, T, H, W, D) -> the same: multi-head attention in each window, a learned bias for each distance and head."""
  heads: int
  window: Triple
  shift: bool
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    grid, d, whole = x.shape[1:4], x.shape[-1], self.window
    window = tuple(map(min, grid, whole))
    shift = tuple(w // 2 if self.shift and n > full else 0 for n, w, full in zip(grid, window, whole, strict=True))
    x = filled(x, window)
    padded = x.shape[1:4]
    x = split(jnp.roll(x, [-s for s in shift], (1, 2, 3)), window)  # (B, windows, tokens, D)
    q, k, v = (Dense(d, dtype=self.dtype, name=name)(x).reshape(*x.shape[:3], self.heads, -1) for name in "qkv")
    table = self.param("distances", nn.initializers.truncated_normal(0.02),
                       (int(np.prod([2 * w - 1 for w in whole])), self.heads))
    bias = jnp.moveaxis(table[rows(window, whole)], -1, 0)[None]  # (1, heads, tokens, tokens)
    seen = None
    if any(shift):  # what the roll brought together is not seen
      part = split(jnp.asarray(parts(padded, window, shift))[None, ..., None], window)[0, ..., 0]
      seen = (part[:, :, None] == part[:, None])[:, None]  # (windows, 1, tokens, tokens)
    attend = functools.partial(jax.nn.dot_product_attention, bias=bias.astype(self.dtype), mask=seen)
    y = Dense(d, dtype=self.dtype, name="out")(jax.vmap(attend)(q, k, v).reshape(x.shape))
    y = jnp.roll(joined(y, padded, window), shift, (1, 2, 3))
    return y[:, :grid[0], :grid[1], :grid[2]]


class Block(nn.Module):
  """(B, T, H, W, D) -> the same: attention in windows, then an MLP four times as wide."""
  heads: int
  window: Triple
  shift: bool
  dtype: jnp.dtype
  drop_path: float

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    y = LayerNorm(1e-5, self.dtype, name="norm1")(x)
    y = WindowAttention(self.heads, self.window, self.shift, self.dtype, name="windows")(y)
    x = x + drop_path(self.drop_path, train, y, "drop_path1")
    y = Mlp(4 * x.shape[-1], dtype=self.dtype, name="mlp")(LayerNorm(1e-5, self.dtype, name="norm2")(x))
    return x + drop_path(self.drop_path, train, y, "drop_path2")


class Merge(nn.Module):
  """(B, T, H, W, D) -> (B, T, H/2, W/2, 2 D): each 2 x 2 tokens side by side, down a column first."""
  dtype: jnp.dtype

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    del train
    d, x = x.shape[-1], filled(x, (1, 2, 2))
    x = jnp.concatenate([x[:, :, i::2, j::2] for j in (0, 1) for i in (0, 1)], axis=-1)
    x = LayerNorm(1e-5, self.dtype, name="norm")(x)
    return Dense(2 * d, use_bias=False, dtype=self.dtype, name="reduction")(x)


class VideoSwin(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. The grid is T/2, H/32, W/32, rounded up."""
  family: ClassVar[str] = "swin"
  variants: ClassVar[dict[str, Size]] = {
      "": Size(),
      "T": Size(),
      "S": Size(depths=(2, 2, 18, 2)),
      "B": Size(128, (2, 2, 18, 2), 4),
      "tiny": Size(16, (2, 1), 1, (2, 4, 4)),
  }
  original: ClassVar[Spec] = Spec(pool="mean")
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "stage"
  normalisation: ClassVar[Statistics] = IMAGENET

  @property
  def blocks(self) -> tuple[str, ...]:
    depths, names = self.variants[self.variant].depths, ["embed"]
    for stage, depth in enumerate(depths, 1):
      names += [f"stage{stage}_block_{i:02}" for i in range(depth)] + [f"merge{stage}"] * (stage < len(depths))
    return (*names, "norm")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Triple]:
    """Video (B, T, H, W, C) -> tokens (B, N, D), normalised, and their grid (T', H', W'), N = T'H'W'."""
    size = self.variants[self.variant]
    x = Embed(size.width, PATCH, self.dtype, name="embed")(video)
    for name in self.blocks[1:-1]:
      if name.startswith("merge"):
        x = self.rematted(Merge)(self.dtype, name=name)(x, train)
        continue
      heads, odd = size.heads * 2 ** (int(name[5]) - 1), int(name[-2:]) % 2 == 1
      x = self.rematted(Block)(heads, size.window, odd, self.dtype, self.block_drop(name), name=name)(x, train)
    b, t, h, w, d = x.shape
    return LayerNorm(1e-5, self.dtype, name="norm")(x).reshape(b, t * h * w, d), (t, h, w)


def filled(x: jax.Array, size: tuple[int, ...]) -> jax.Array:
  """(B, T, H, W, D) with zeros at the ends, up to multiples of `size`."""
  return jnp.pad(x, ((0, 0), *((0, -n % s) for n, s in zip(x.shape[1:4], size, strict=True)), (0, 0)))


def split(x: jax.Array, window: tuple[int, ...]) -> jax.Array:
  """(B, T, H, W, D) -> (B, windows, tokens, D)."""
  (b, t, h, w, d), (dt, dh, dw) = x.shape, window
  x = x.reshape(b, t // dt, dt, h // dh, dh, w // dw, dw, d).transpose(0, 1, 3, 5, 2, 4, 6, 7)
  return x.reshape(b, -1, dt * dh * dw, d)


def joined(x: jax.Array, grid: tuple[int, ...], window: tuple[int, ...]) -> jax.Array:
  """The way back from `split`."""
  (t, h, w), (dt, dh, dw), (b, *_, d) = grid, window, x.shape
  x = x.reshape(b, t // dt, h // dh, w // dw, dt, dh, dw, d).transpose(0, 1, 4, 2, 5, 3, 6, 7)
  return x.reshape(b, t, h, w, d)


@functools.cache
def rows(window: tuple[int, ...], whole: Triple) -> np.ndarray:
  """(tokens, tokens): for each pair the row of the table of distances, which is that of `whole` windows."""
  at = np.indices(window).reshape(3, -1)
  apart = at[:, :, None] - at[:, None] + np.array(whole).reshape(3, 1, 1) - 1
  return np.asarray(np.ravel_multi_index(tuple(apart), [2 * w - 1 for w in whole]))


@functools.cache
def parts(grid: tuple[int, ...], window: tuple[int, ...], shift: tuple[int, ...]) -> np.ndarray:
  """(T, H, W) of a rolled grid: a number for each part that was in one piece before."""
  cuts = [np.searchsorted([n - w, n - s], np.arange(n), side="right") if s else np.zeros(n, int)
          for n, w, s in zip(grid, window, shift, strict=True)]
  return cuts[0].reshape(-1, 1, 1) * 9 + cuts[1].reshape(1, -1, 1) * 3 + cuts[2].reshape(1, 1, -1)
