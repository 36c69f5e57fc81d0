"""torchvision's R3D-18, MC3-18 and R(2+1)D-18 (the widths are fixed there: the small run has a small video instead)."""
import importlib.metadata

import torch
from torchvision.models import video

from tests.golden import make


def original(variant: str, full: bool) -> make.Original:
  """One of the three; the block in mid-network is the first of layer2."""
  module, kept = getattr(video, variant)(weights=None), {}
  module.layer2[0].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 4, 1)))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(clip.permute(0, 4, 1, 2, 3)), kept["mid"]

  return make.Original(module, run, (1, 16, 112, 112, 3) if full else (1, 4, 32, 32, 3),
                       dict(name="video_resnet", variant=variant), "layer2_00", "stem.0.weight",
                       f"torchvision {importlib.metadata.version('torchvision')}")


def build(full: bool) -> make.Original:
  return original("r3d_18", full)
