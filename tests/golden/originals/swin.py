"""torchvision's Video Swin: swin3d_t at full size, its class with two narrow stages for the small one.

Six frames make three tokens in time, which the window of two does not divide: padded, shifted and masked.
"""
import importlib.metadata

import torch
from torchvision.models import video

from tests.golden import make


def build(full: bool) -> make.Original:
  if full:
    module = video.swin3d_t(weights=None)
  else:
    module = video.SwinTransformer3d(patch_size=[2, 4, 4], embed_dim=16, depths=[2, 1], num_heads=[1, 2],
                                     window_size=[2, 4, 4], num_classes=5)
  kept = {}
  module.features[0][1].register_forward_hook(lambda _, inputs, out: kept.update(mid=out))

  def run(clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(clip.movedim(-1, 1)), kept["mid"]
  model = dict(name="swin", variant="T" if full else "tiny", num_classes=400 if full else 5)
  return make.Original(module, run, (1, 16, 224, 224, 3) if full else (2, 6, 32, 40, 3), model, "stage1_block_01",
                       "patch_embed.proj.weight", f"torchvision {importlib.metadata.version('torchvision')}")
