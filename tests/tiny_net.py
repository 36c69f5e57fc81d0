"""A trunk of two convolutions with the interface of `vft.models`: for tests of what is around a model."""
from typing import Any, ClassVar

import jax
from flax import linen as nn

from vft.models.video_model import VideoModel


class TinyNet(VideoModel):
  """Video (B, T, H, W, 3) -> {"label": (B, 3)}."""
  tasks: tuple[tuple[str, int], ...] = (("label", 3),)

  family: ClassVar[str] = "tiny_net"
  variants: ClassVar[dict[str, Any]] = {"": None}

  @property
  def blocks(self) -> tuple[str, ...]:
    return ("stem", "last")

  @nn.compact
  def features(self, video: jax.Array, train: bool = False) -> tuple[jax.Array, tuple[int, int, int]]:
    x = nn.Conv(8, (3, 5, 5), strides=(2, 4, 4), name="stem")(video)
    x = nn.gelu(nn.BatchNorm(use_running_average=True, name="norm")(x))
    x = nn.gelu(nn.Conv(16, (3, 3, 3), strides=(1, 2, 2), name="last")(x))
    b, t, h, w, d = x.shape
    return x.reshape(b, t * h * w, d), (t, h, w)
