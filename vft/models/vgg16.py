"""VGG16, configuration D of arXiv:1409.1556 (table 1), on each frame by itself; names of layers as in Keras.

The published classifier flattens 7 x 7 x 512 values of a 224 x 224 frame. Weights of torchvision go with the variant ""
and those of Keras ("caffe" means, BGR) with "keras": the two differ in the mean of the input only. Of torchvision's
features-only weights the mean is (0.48235, 0.45882, 0.40784) and the deviation 1 / 255: set model.mean and model.std.
"""
from typing import ClassVar

import jax
from flax import linen as nn

from vft.models import ops
from vft.models.heads import Spec
from vft.models.layers import he_normal
from vft.models.video_model import VideoModel

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # width and convolutions; max pooling after each stage
STD = (0.229, 0.224, 0.225)


class VGG16(VideoModel):
  """Video (B, T, H, W, C), normalised by `statistics` -> {task: logits (B, K)} float32. H and W >= 32."""
  family: ClassVar[str] = "vgg16"
  variants: ClassVar[dict[str, int]] = {"": 1, "keras": 1, "tiny": 8}  # the published widths are divided by this
  original: ClassVar[Spec] = Spec("mlp", pool="flatten", temporal="logits", hidden=(4096, 4096))
  classes: ClassVar[int] = 1000

  @classmethod
  def statistics(cls, variant: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Torchvision's; "keras" has the mean of Keras, whose scale of 0..255 goes into the first kernel on conversion."""
    return (123.68 / 255, 116.779 / 255, 103.939 / 255) if variant == "keras" else (0.485, 0.456, 0.406), STD

  @property
  def blocks(self) -> tuple[str, ...]:
    return tuple(f"block{s}_conv{i}" for s, (_, depth) in enumerate(STAGES, 1) for i in range(1, depth + 1))

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    """Video (B, T, H, W, C) -> tokens (B, N, D) of the last pooling and their grid (T, H / 32, W / 32)."""
    b, t, *frame = video.shape
    x = video.astype(self.dtype).reshape(b * t, *frame)
    for stage in range(1, len(STAGES) + 1):
      x = self.rematted(VGG16._stage)(self, x, stage)
    _, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)

  def _stage(self, x: jax.Array, stage: int) -> jax.Array:
    """Convolutions and their pooling: (B T, H, W, C) -> (B T, H / 2, W / 2, D)."""
    width, depth = STAGES[stage - 1]
    for i in range(1, depth + 1):
      conv = nn.Conv(width // self.variants[self.variant], (3, 3), dtype=self.dtype, kernel_init=he_normal,
                     conv_general_dilated=ops.conv, name=f"block{stage}_conv{i}")
      x = nn.relu(ops.product(conv(x)))
    return ops.max_pool(x, (2, 2), (2, 2), "VALID")
