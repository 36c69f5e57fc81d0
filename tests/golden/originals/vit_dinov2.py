"""DINOv2 of transformers, and what the three kinds of vision transformers share: a seeded classifier on the pooled."""
from importlib.metadata import version
from typing import Any

import torch
from transformers import Dinov2Config, Dinov2Model

from tests.golden.make import Original

CLASSES = 5
TINY: dict[str, Any] = dict(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, image_size=32, patch_size=8)


class Classified(torch.nn.Module):
  """The trunk under the name that its published files have as a prefix, and a classifier on `pooler_output`."""

  def __init__(self, prefix: str, trunk: torch.nn.Module, width: int):
    super().__init__()
    self.add_module(prefix, trunk)
    self.trunk, self.mid = [trunk], None  # in a list, so that its arrays have one name
    self.classifier = torch.nn.Linear(width, CLASSES)
    layers = trunk.encoder.layer if hasattr(trunk.encoder, "layer") else trunk.encoder.layers
    layers[0].register_forward_hook(lambda module, inputs, output: setattr(self, "mid", output))

  def run(self, video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Video (B, T, H, W, 3) -> the mean logits of its frames (B, K), the first block's output (B T, N, D)."""
    b, t = video.shape[:2]
    pooled = self.trunk[0](pixel_values=video.flatten(0, 1).permute(0, 3, 1, 2)).pooler_output
    return self.classifier(pooled).reshape(b, t, CLASSES).mean(1), self.mid


def original(prefix: str, trunk: torch.nn.Module, variant: str, kernel: str) -> Original:
  """The trunk as a golden original, at the input that it is made for."""
  size = trunk.config.image_size
  module = Classified(prefix, trunk, trunk.config.hidden_size)
  return Original(module, module.run, (1, 2, size, size, 3), dict(name="vit", variant=variant, num_classes=CLASSES),
                  "block_00", f"{prefix}.embeddings.{kernel}.weight", f"transformers {version('transformers')}")


def build(full: bool) -> Original:
  """Dinov2Model; full is S/14 at 224, its position embeddings made for that size."""
  sizes = dict(hidden_size=384, num_attention_heads=6, image_size=224, patch_size=14) if full else TINY
  return original("dinov2", Dinov2Model(Dinov2Config(**sizes)), "dinov2_s14" if full else "tiny",
                  "patch_embeddings.projection")
