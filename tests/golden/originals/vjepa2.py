"""V-JEPA 2 with its probe as transformers has it, the probe with the authors' epsilon and, where small, one head."""
import torch
import transformers

from tests.golden.make import Original

TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2.0, crop_size=48, frames_per_clip=6,
            pred_hidden_size=12, pred_num_attention_heads=1, pred_num_hidden_layers=1, num_labels=5)


def build(full: bool) -> Original:
  config = transformers.VJEPA2Config(**(dict(num_labels=174, frames_per_clip=16) if full else TINY))
  module, blocks = transformers.VJEPA2ForVideoClassification(config), []
  module.vjepa2.predictor = None  # of pre-training
  for part in module.pooler.modules():
    if isinstance(part, torch.nn.LayerNorm):
      part.eps = 1e-5
    if hasattr(part, "num_heads") and not full:
      part.num_heads, part.head_dim, part.scale = 1, 32, 32**-0.5
  module.vjepa2.encoder.layer[1].register_forward_hook(lambda *args: blocks.append(args[-1][0]))

  def run(video):
    logits = module(video.movedim(-1, 2)).logits
    return logits, blocks[-1]
  video = (1, config.frames_per_clip, config.crop_size, config.crop_size, 3)
  model = dict(name="vjepa2", variant="L/16x2" if full else "tiny", num_classes=config.num_labels)
  return Original(module, run, video, model, "block_01", "vjepa2.encoder.embeddings.patch_embeddings.proj.weight",
                  f"transformers {transformers.__version__}")
