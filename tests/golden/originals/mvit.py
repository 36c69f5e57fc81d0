"""torchvision's MViTv2: mvit_v2_s at full size, its class with two narrow stages for the small one."""
import importlib.metadata

import torch
from torchvision.models.video import mvit

from tests.golden import make


def small() -> torch.nn.Module:
  """As our `tiny`: widths 16 and 32, keys strided by 2 in the first block, queries in the second."""
  even, odd = [3, 3, 3], [1, 2, 2]
  blocks = [mvit.MSBlockConfig(num_heads=1, input_channels=16, output_channels=16, kernel_q=even, kernel_kv=even,
                               stride_q=[1, 1, 1], stride_kv=odd),
            mvit.MSBlockConfig(num_heads=2, input_channels=16, output_channels=32, kernel_q=even, kernel_kv=even,
                               stride_q=odd, stride_kv=[1, 1, 1])]
  return mvit.MViT(spatial_size=(32, 32), temporal_size=4, block_setting=blocks, residual_pool=True,
                   residual_with_cls_embed=False, rel_pos_embed=True, proj_after_attn=True, num_classes=5)


def build(full: bool) -> make.Original:
  module, kept = mvit.mvit_v2_s() if full else small(), {}
  module.blocks[1].register_forward_hook(lambda _, inputs, out: kept.update(mid=out[0]))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(video.movedim(-1, 1)), kept["mid"]
  model = dict(name="mvit", variant="S/16x4" if full else "tiny", num_classes=400 if full else 5)
  return make.Original(module, run, (1, 16, 224, 224, 3) if full else (2, 4, 32, 32, 3), model, "block_01",
                       "conv_proj.weight", f"torchvision {importlib.metadata.version('torchvision')}")
