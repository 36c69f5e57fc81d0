"""pytorchvideo's SlowFast-R50 8x8; or one of a quarter of its width, with one block a layer, and 5 classes."""
import importlib.metadata

import torch
from pytorchvideo.models.slowfast import create_slowfast

from tests.golden.make import Original


def build(full: bool) -> Original:
  """The block in mid-network is the first of layer2: both paths, one after the other."""
  if full:
    module, video, model = create_slowfast(), (1, 32, 224, 224, 3), dict(variant="R50/8x8")
  else:
    module = create_slowfast(model_depth=18, stem_dim_outs=(16, 2), model_num_class=5,
                             head_pool_kernel_sizes=((2, 2, 2), (8, 2, 2)))
    video, model = (1, 8, 64, 64, 3), dict(variant="tiny", num_classes=5)
  kept = []
  for path in module.blocks[2].multipathway_blocks:
    path.res_blocks[0].register_forward_hook(lambda _, inputs, out: kept.append(out.permute(0, 2, 3, 4, 1).flatten()))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    fast = clip.permute(0, 4, 1, 2, 3)
    count = fast.shape[2] // 4  # as in the README of pytorchvideo's hub, PackPathway
    slow = fast.index_select(2, torch.linspace(0, fast.shape[2] - 1, count).long())
    return module([slow, fast]), torch.cat(kept[-2:])

  return Original(module, run, video, dict(name="slowfast", **model), "layer2_00",
                  "blocks.0.multipathway_blocks.0.conv.weight",
                  f"pytorchvideo {importlib.metadata.version('pytorchvideo')}")
