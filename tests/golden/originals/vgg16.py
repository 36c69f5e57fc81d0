"""torchvision's VGG16; the small one has an eighth of its widths. Both see 224 x 224, as the published head.

One frame: of many max pools one is near a tie, where float32 decides the gradient by chance.
"""
import importlib.metadata

import torch
from torchvision.models import vgg

from tests.golden import make


def build(full: bool) -> make.Original:
  if full:
    module = vgg.vgg16(weights=None)
  else:
    widths = [x if isinstance(x, str) else x // 8 for x in vgg.cfgs["D"]]
    module = vgg.VGG(vgg.make_layers(widths), num_classes=5)
    module.classifier[0] = torch.nn.Linear(64 * 7 * 7, 4096)
  model = dict(name="vgg16", variant="" if full else "tiny", num_classes=1000 if full else 5)
  kept = {}
  # A copy: the ReLU that follows works in place.
  module.features[17].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.clone().permute(0, 2, 3, 1)))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b, t = video.shape[:2]
    logits = module(video.flatten(0, 1).permute(0, 3, 1, 2))
    return logits.reshape(b, t, -1).mean(1), kept["mid"]

  return make.Original(module, run, (1, 1, 224, 224, 3), model, "block4_conv1", "features.0.weight",
                       f"torchvision {importlib.metadata.version('torchvision')}")
