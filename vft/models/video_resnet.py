"""R3D-18, MC3-18 and R(2+1)D-18 (arXiv:1711.11248, sec. 3 and table 1) as torchvision builds and trains them.

R3D: 3 x 3 x 3 kernels. MC3: those in the stem and layer1 only, then 1 x 3 x 3, so that it keeps all frames. R(2+1)D:
each is a 1 x 3 x 3 and a 3 x 1 x 1 one, as wide between them as keeps the number of parameters (sec. 3.5).
The names are those of the 2-D ResNets, whose kernels inflate into R3D and MC3 (without the max pool after the stem).
"""
from typing import ClassVar, NamedTuple

import jax
from flax import linen as nn

from vft.models.layers import drop_path, padded
from vft.models.normalisation import KINETICS, Statistics
from vft.models.video_model import VideoModel

Triple = tuple[int, int, int]


class Size(NamedTuple):
  """What a variant is: its kind of convolution, r3d | mc3 | r2plus1d, and the width of the stem."""
  kind: str
  width: int = 64


class Stem(nn.Module):
  """Kernel 3 x 7 x 7, or 1 x 7 x 7 and 3 x 1 x 1, strides 1, 2, 2: (B, T, H, W, 3) -> (B, T, H/2, W/2, width)."""
  size: Size
  bn: str

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    factorised, width = self.size.kind == "r2plus1d", self.size.width
    first = ((1, 7, 7), 45 * width // 64) if factorised else ((3, 7, 7), width)  # 45 is torchvision's
    x = nn.relu(padded(x, first[1], first[0], (1, 2, 2), self.bn, train, ("conv", "bn")))
    if factorised:
      x = nn.relu(padded(x, width, (3, 1, 1), (1, 1, 1), self.bn, train, ("conv_time", "bn_time")))
    return x


class Block(nn.Module):
  """Two convolutions and a shortcut: (B, T, H, W, C) -> (B, T', H', W', width)."""
  width: int
  kernel: Triple
  strides: Triple
  factorised: bool
  bn: str
  drop_path: float = 0.0

  @nn.compact
  def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
    # The width between the two parts is that of the block's first pair in both pairs: so did torchvision.
    between = 27 * x.shape[-1] * self.width // (9 * x.shape[-1] + 3 * self.width)
    y = nn.relu(self._convolve(x, 1, self.strides, between, train))
    y = self._convolve(y, 2, (1, 1, 1), between, train)
    if max(self.strides) > 1:
      x = padded(x, self.width, (1, 1, 1), self.strides, self.bn, train, ("shortcut_conv", "shortcut_bn"))
    return nn.relu(x + drop_path(self.drop_path, train, y))

  def _convolve(self, x, number: int, strides: Triple, between: int, train: bool):
    kernel = self.kernel
    if self.factorised:
      names = f"conv{number}_space", f"bn{number}_space"
      x = nn.relu(padded(x, between, (1, *kernel[1:]), (1, *strides[1:]), self.bn, train, names))
      kernel, strides = (kernel[0], 1, 1), (strides[0], 1, 1)
    return padded(x, self.width, kernel, strides, self.bn, train, (f"conv{number}", f"bn{number}"))


class VideoResNet(VideoModel):
  """Video (B, T, H, W, C), normalised -> {task: logits (B, K)} float32. The grid is T/8 (MC3: T), H/16, W/16."""
  family: ClassVar[str] = "video_resnet"
  variants: ClassVar[dict[str, Size]] = {
      "": Size("r2plus1d"),
      "r3d_18": Size("r3d"),
      "mc3_18": Size("mc3"),
      "r2plus1d_18": Size("r2plus1d"),
      "tiny": Size("r2plus1d", 8),
  }
  classes: ClassVar[int] = 400
  residual: ClassVar[str] = "layer"
  normalisation: ClassVar[Statistics] = KINETICS

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("stem", *(f"layer{i}_{j:02}" for i in (1, 2, 3, 4) for j in (0, 1)))

  def _block(self, name: str) -> nn.Module:
    size, bn = self.variants[self.variant], self.block_bn(name)
    if name == "stem":
      return self.rematted(Stem)(size, bn, name=name)
    layer, stride = int(name[5]), 2 if name.endswith("_00") and name[5] != "1" else 1
    flat = size.kind == "mc3" and layer > 1
    kernel, strides = (1 if flat else 3, 3, 3), (1 if flat else stride, stride, stride)
    return self.rematted(Block)(size.width * 2 ** (layer - 1), kernel, strides, size.kind == "r2plus1d", bn,
                                self.block_drop(name), name=name)

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, Triple]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last block and their grid (T', H', W'), N = T'H'W'."""
    x = video.astype(self.dtype)
    for name in self.blocks:
      x = self._block(name)(x, train)
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
