"""A trunk of two convolutions with the interface of `vft.models`: for tests of what is around a model."""
from typing import ClassVar

import jax
from flax import linen as nn

from vft.models.heads import Head


class TinyNet(nn.Module):
  """Video (B, T, H, W, 3) -> {"label": (B, 3)}."""
  dropout: float = 0.0
  trained_blocks: tuple[str, ...] = ()

  family: ClassVar[str] = "tiny_net"
  version: ClassVar[int] = 1
  blocks: ClassVar[tuple[str, ...]] = ("stem", "last")
  mean: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)
  std: ClassVar[tuple[float, ...]] = (0.5, 0.5, 0.5)

  def setup(self):
    self.stem = nn.Conv(8, (3, 5, 5), strides=(2, 4, 4))
    self.norm = nn.BatchNorm(use_running_average=True)
    self.last = nn.Conv(16, (3, 3, 3), strides=(1, 2, 2))
    self.classifier = Head((("label", 3),), dropout=self.dropout, name="head")

  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    x = nn.gelu(self.last(nn.gelu(self.norm(self.stem(video)))))
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)

  def pool(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    return self.classifier.pool(tokens, grid)

  def head(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False) -> dict[str, jax.Array]:
    return self.classifier(tokens, grid, train)

  def __call__(self, video: jax.Array, train: bool = False) -> dict[str, jax.Array]:
    return self.head(*self.features(video, train), train)
