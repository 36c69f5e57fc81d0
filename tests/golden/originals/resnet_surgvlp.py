"""SurgVLP's image encoder as its authors have it, no package: PYTHONPATH=(github.com/CAMMA-public/SurgVLP).

Small: their ResNet-18. It needs mmengine and transformers as well.
"""
import importlib

import torch

from tests.golden import make


class Encoder(torch.nn.Module):
  """The part of their model that sees frames, by the name that it has there."""

  def __init__(self, depth: int, width: int):
    super().__init__()
    backbones = importlib.import_module("surgvlp.codes.models.backbones.img_backbones")
    start = "random" if depth == 50 else False  # no weights are fetched
    self.backbone_img = backbones.ImageEncoder(width, start, f"resnet_{depth}", img_norm=False)


def build(full: bool) -> make.Original:
  depth, width = (50, 768) if full else (18, 5)
  module, kept = Encoder(depth, width), {}
  module.backbone_img.model.layer3[0].register_forward_hook(
      lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 1)))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b, t = video.shape[:2]
    embedding = module.backbone_img(video.flatten(0, 1).permute(0, 3, 1, 2))
    return embedding.reshape(b, t, -1).mean(1), kept["mid"]

  return make.Original(module, run, (1, 2, 224, 224, 3) if full else (1, 2, 64, 77, 3),
                       dict(name="resnet", variant=str(depth), num_classes=width), "layer3_00",
                       "backbone_img.model.conv1.weight", "CAMMA-public/SurgVLP 85e8589")
