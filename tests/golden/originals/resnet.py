"""torchvision's ResNet-18 (its widths are fixed there: the small run has small frames instead, of an odd size)."""
import importlib.metadata

import torch
from torchvision import models

from tests.golden import make


def build(full: bool) -> make.Original:
  module, kept = models.resnet18(weights=None), {}
  module.layer3[0].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 1)))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b, t = video.shape[:2]
    logits = module(video.flatten(0, 1).permute(0, 3, 1, 2))
    return logits.reshape(b, t, -1).mean(1), kept["mid"]

  return make.Original(module, run, (1, 2, 224, 224, 3) if full else (1, 2, 64, 77, 3),
                       dict(name="resnet", variant="18"), "layer3_00", "conv1.weight",
                       f"torchvision {importlib.metadata.version('torchvision')}")
