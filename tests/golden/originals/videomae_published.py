"""VideoMAE as its authors have it; that code is no package: PYTHONPATH=(a clone of github.com/MCG-NJU/VideoMAE)."""
import functools
import importlib

import torch

from tests.golden.make import Original
from tests.golden.originals.videomae import SMALL, TINY


def build(full: bool) -> Original:
  size = {"image_size": 224, "num_frames": 16, **(SMALL if full else TINY)}
  module = importlib.import_module("modeling_finetune").VisionTransformer(
      img_size=size["image_size"], num_classes=size["num_labels"], embed_dim=size["hidden_size"],
      depth=size["num_hidden_layers"], num_heads=size["num_attention_heads"], qkv_bias=True,
      mlp_ratio=size["intermediate_size"] / size["hidden_size"], all_frames=size["num_frames"],
      norm_layer=functools.partial(torch.nn.LayerNorm, eps=1e-6))
  blocks = []
  module.blocks[1].register_forward_hook(lambda *args: blocks.append(args[-1]))

  def run(video):
    logits = module(video.movedim(-1, 1))
    return logits, blocks[-1]
  video = (1, size["num_frames"], size["image_size"], size["image_size"], 3)
  model = dict(name="videomae", variant="S/16x2" if full else "tiny", num_classes=size["num_labels"])
  return Original(module, run, video, model, "block_01", "patch_embed.proj.weight", "MCG-NJU/VideoMAE 14ef8d85")
