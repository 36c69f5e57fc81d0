"""torchvision's ConvNeXt: convnext_tiny at full size, its class with two narrow layers for the small one."""
import importlib.metadata

import torch
from torchvision.models import convnext

from tests.golden import make


def small(classes: int = 5) -> torch.nn.Module:
  """As our `tiny`."""
  config = convnext.CNBlockConfig
  return convnext.ConvNeXt([config(16, 32, 1), config(32, None, 1)], num_classes=classes)


def build(full: bool) -> make.Original:
  module, kept = convnext.convnext_tiny(weights=None) if full else small(), {}
  module.features[3][0].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 1)))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b, t = video.shape[:2]
    logits = module(video.flatten(0, 1).permute(0, 3, 1, 2))
    return logits.reshape(b, t, -1).mean(1), kept["mid"]
  model = dict(name="convnext", variant="T" if full else "tiny", num_classes=1000 if full else 5)
  return make.Original(module, run, (1, 2, 224, 224, 3) if full else (2, 2, 45, 54, 3), model, "layer2_00",
                       "features.0.0.weight", f"torchvision {importlib.metadata.version('torchvision')}")
