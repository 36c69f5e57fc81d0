"""CLIP's image tower of transformers."""
from transformers import CLIPVisionConfig, CLIPVisionModel

from tests.golden.make import Original
from tests.golden.originals.vit_dinov2 import TINY, original


def build(full: bool) -> Original:
  """CLIPVisionModel; full is B/32, whose sizes are the configuration's defaults."""
  config = CLIPVisionConfig() if full else CLIPVisionConfig(intermediate_size=128, **TINY)
  return original("vision_model", CLIPVisionModel(config), "clip_b32" if full else "clip_tiny", "patch_embedding")
