"""ViViT as transformers has it."""
import transformers

from tests.golden.make import Original

TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=128, image_size=48,
            num_frames=4, num_labels=5)


def build(full: bool) -> Original:
  config = transformers.VivitConfig(**(dict(num_labels=400) if full else TINY))
  module = transformers.VivitForVideoClassification(config)
  t, side, blocks = config.num_frames, config.image_size, []
  module.vivit.layers[1].register_forward_hook(lambda *args: blocks.append(args[-1]))

  def run(video):
    logits = module(video.movedim(-1, 2)).logits
    return logits, blocks[-1]
  model = dict(name="vivit", variant="B/16x2" if full else "tiny", num_classes=config.num_labels)
  return Original(module, run, (1, t, side, side, 3), model, "block_01",
                  "vivit.embeddings.patch_embeddings.projection.weight", f"transformers {transformers.__version__}")
