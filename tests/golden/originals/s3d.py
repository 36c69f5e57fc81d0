"""torchvision's S3D; or its parts at an eighth of their width, three Inception blocks in all, and 5 classes."""
import functools
import importlib.metadata

import torch
from torchvision.models.video.s3d import S3D, Conv3dNormActivation, SepInceptionBlock3D, TemporalSeparableConv

from tests.golden.make import Original

NORM = functools.partial(torch.nn.BatchNorm3d, eps=0.001)  # as S3D's own default


def small() -> torch.nn.Module:
  """Under the numbers that these blocks have in the whole network; a classifier for 2 x 2 pixels."""
  module = S3D(num_classes=5)
  module.features[0] = TemporalSeparableConv(3, 8, 7, 2, 3, NORM)
  module.features[2] = Conv3dNormActivation(8, 8, kernel_size=1, stride=1, norm_layer=NORM)
  module.features[3] = TemporalSeparableConv(8, 24, 3, 1, 1, NORM)
  module.features[5] = SepInceptionBlock3D(24, 8, 12, 16, 2, 4, 4, NORM)
  module.features[8] = SepInceptionBlock3D(32, 24, 12, 26, 2, 6, 8, NORM)
  module.features[14] = SepInceptionBlock3D(64, 32, 20, 40, 4, 16, 16, NORM)
  for number in ("6", "9", "10", "11", "12", "15"):
    del module.features._modules[number]
  module.avgpool = torch.nn.AvgPool3d((2, 2, 2), stride=1)
  module.classifier[1] = torch.nn.Conv3d(104, 5, kernel_size=1)
  return module


def build(full: bool) -> Original:
  """The block in mid-network is the first after the third pool."""
  module = S3D() if full else small()
  video, model = ((1, 16, 224, 224, 3), {}) if full else ((1, 20, 64, 72, 3), dict(variant="tiny", num_classes=5))
  kept = {}
  module.features._modules["8"].register_forward_hook(
      lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 4, 1)))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(clip.permute(0, 4, 1, 2, 3)), kept["mid"]

  return Original(module, run, video, dict(name="s3d", **model), "mixed_4b", "features.0.0.0.weight",
                  f"torchvision {importlib.metadata.version('torchvision')}")
