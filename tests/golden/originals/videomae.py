"""VideoMAE as transformers has it, with the epsilon of the published code (the port's: 1e-12, and 1e-5 at the end)."""
import transformers

from tests.golden.make import Original

TINY = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64, image_size=32,
            num_frames=4, num_labels=5)
SMALL = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536, num_labels=400)


def build(full: bool) -> Original:
  config = transformers.VideoMAEConfig(**(SMALL if full else TINY), layer_norm_eps=1e-6)
  module = transformers.VideoMAEForVideoClassification(config)
  module.fc_norm.eps = 1e-6
  blocks = []
  module.videomae.encoder.layer[1].register_forward_hook(lambda *args: blocks.append(args[-1]))

  def run(video):
    logits = module(video.movedim(-1, 2)).logits
    return logits, blocks[-1]
  video = (1, config.num_frames, config.image_size, config.image_size, 3)
  model = dict(name="videomae", variant="S/16x2" if full else "tiny", num_classes=config.num_labels)
  return Original(module, run, video, model, "block_01", "videomae.embeddings.patch_embeddings.projection.weight",
                  f"transformers {transformers.__version__}")
