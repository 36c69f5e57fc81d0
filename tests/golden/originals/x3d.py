"""pytorchvideo's X3D-XS; or one of a third of its width, with few blocks, and 5 classes."""
import importlib.metadata

import torch
from pytorchvideo.models.x3d import create_x3d

from tests.golden.make import Original


def build(full: bool) -> Original:
  """The block in mid-network is the first of layer3."""
  if full:
    module = create_x3d(input_clip_length=4, input_crop_size=160, head_activation=None)  # no softmax
    video, model = (1, 4, 160, 160, 3), dict(name="x3d", variant="XS")
  else:
    module = create_x3d(input_clip_length=4, input_crop_size=64, model_num_class=5, stem_dim_in=4, depth_factor=0.22,
                        head_activation=None)
    video, model = (1, 4, 64, 64, 3), dict(name="x3d", variant="tiny", num_classes=5)
  kept = {}
  module.blocks[3].res_blocks[0].register_forward_hook(
      lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 4, 1)))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(clip.permute(0, 4, 1, 2, 3)), kept["mid"]

  return Original(module, run, video, model, "layer3_00", "blocks.0.conv.conv_t.weight",
                  f"pytorchvideo {importlib.metadata.version('pytorchvideo')}")
