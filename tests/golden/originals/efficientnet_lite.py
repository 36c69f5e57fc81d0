"""EfficientNet-Lite of the package efficientnet-lite-pytorch, a port of the published TensorFlow code."""
from importlib import metadata

import torch
from efficientnet_lite_pytorch import EfficientNet

from tests.golden import make


def build(full: bool) -> make.Original:
  """Lite0 at 224; or all widths halved, at odd sizes, with the padding of the size at hand."""
  if full:
    module, video, variant = EfficientNet.from_name("efficientnet-lite0"), (1, 2, 224, 224, 3), "lite0"
  else:
    module = EfficientNet.from_name("efficientnet-lite0", width_coefficient=0.5, depth_coefficient=0.5,
                                    fix_head_stem=False, image_size=None)
    video, variant = (2, 2, 70, 45, 3), "tiny"
  mid = len(module._blocks) // 2
  kept = {}
  module._blocks[mid].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 1)))

  def run(frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    b, t, h, w, c = frames.shape
    logits = module(frames.reshape(b * t, h, w, c).permute(0, 3, 1, 2))
    return logits.reshape(b, t, -1).mean(1), kept["mid"]

  package = f"efficientnet-lite-pytorch {metadata.version('efficientnet-lite-pytorch')}"
  return make.Original(module, run, video, {"name": "efficientnet_lite", "variant": variant}, f"block_{mid:02}",
                       "_conv_stem.weight", package)
