"""TimeSformer as transformers has it; its tokens are in the order (H', W', T'), ours in (T', H', W')."""
import torch
import transformers

from tests.golden.make import Original

TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, image_size=48,
            num_frames=4, num_labels=5)


def build(full: bool) -> Original:
  config = transformers.TimesformerConfig(**(dict(num_labels=400) if full else TINY))
  module = transformers.TimesformerForVideoClassification(config)
  t, side, blocks = config.num_frames, config.image_size, []
  module.timesformer.encoder.layer[1].register_forward_hook(lambda *args: blocks.append(args[-1][0]))

  def run(video):
    logits = module(video.movedim(-1, 2)).logits
    token, patches = blocks[-1][:, :1], blocks[-1][:, 1:]
    return logits, torch.cat([token, patches.unflatten(1, (-1, t)).transpose(1, 2).flatten(1, 2)], dim=1)
  model = dict(name="timesformer", variant="B/16" if full else "tiny", num_classes=config.num_labels)
  return Original(module, run, (1, t, side, side, 3), model, "block_01",
                  "timesformer.embeddings.patch_embeddings.projection.weight",
                  f"transformers {transformers.__version__}")
