"""DINOv2 with register tokens, of transformers."""
from transformers import Dinov2WithRegistersConfig, Dinov2WithRegistersModel

from tests.golden.make import Original
from tests.golden.originals.vit_dinov2 import TINY, original


def build(full: bool) -> Original:
  """Dinov2WithRegistersModel; full is S/14 at 224, its position embeddings made for that size."""
  sizes = dict(hidden_size=384, num_attention_heads=6, image_size=224, patch_size=14) if full else TINY
  trunk = Dinov2WithRegistersModel(Dinov2WithRegistersConfig(num_register_tokens=4, **sizes))
  return original("dinov2_with_registers", trunk, "dinov2_s14_reg" if full else "reg_tiny",
                  "patch_embeddings.projection")
