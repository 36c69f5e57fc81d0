"""SigLIP's image tower of transformers."""
from transformers import SiglipVisionConfig, SiglipVisionModel

from tests.golden.make import Original
from tests.golden.originals.vit_dinov2 import TINY, original


def build(full: bool) -> Original:
  """SiglipVisionModel; full is B/16, whose sizes are the configuration's defaults."""
  config = SiglipVisionConfig() if full else SiglipVisionConfig(intermediate_size=128, **TINY)
  return original("vision_model", SiglipVisionModel(config), "siglip_b16" if full else "siglip_tiny",
                  "patch_embedding")
