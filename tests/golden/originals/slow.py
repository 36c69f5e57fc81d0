"""pytorchvideo's Slow-R50 8x8; or one of a quarter of its width, with few blocks, and 5 classes."""
import importlib.metadata
from unittest import mock

import torch
from pytorchvideo.models import resnet
from pytorchvideo.models.hub import slow_r50

from tests.golden.make import Original


def build(full: bool) -> Original:
  """The block in mid-network is the second of layer2 (of the tiny one, its last)."""
  if full:
    module, video, model = slow_r50(), (1, 8, 224, 224, 3), dict(variant="R50/8x8")
  else:
    with mock.patch.dict(resnet._MODEL_STAGE_DEPTH, {18: (1, 2, 1, 1)}):
      module = resnet.create_resnet(model_depth=18, stem_dim_out=16, model_num_class=5, stem_conv_kernel_size=(1, 7, 7),
                                    head_pool_kernel_size=(4, 2, 3))
    video, model = (1, 4, 50, 66, 3), dict(variant="tiny", num_classes=5)
  kept = {}
  module.blocks[2].res_blocks[1].register_forward_hook(
      lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 4, 1)))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(clip.permute(0, 4, 1, 2, 3)), kept["mid"]

  return Original(module, run, video, dict(name="slow", **model), "layer2_01", "blocks.0.conv.weight",
                  f"pytorchvideo {importlib.metadata.version('pytorchvideo')}")
