"""Golden files of parts that are no family: V-JEPA 2's probe and torch's bicubic interpolation. Needs torch.

  python -m tests.golden.make_parts            writes tests/golden/parts/{attentive,bicubic}.npz
  python -m tests.golden.make_parts --full     prints how far the probe is from the original at its published size
"""
import argparse
import json
from pathlib import Path

import numpy as np
import torch
from transformers import VJEPA2Config
from transformers.models.vjepa2.modeling_vjepa2 import VJEPA2AttentivePooler

from tests.golden import probe, weights

PARTS = Path(__file__).parent / "parts"
SIZES = ((5, 7, 8, 4), (7, 5, 3, 11), (1, 4, 3, 4), (9, 8, 4, 8))  # of a grid, have and want


def attentive(depth: int, width: int, heads: int, tokens: int) -> dict[str, np.ndarray]:
  """What transformers' probe makes of seeded tokens with seeded weights."""
  config = VJEPA2Config(hidden_size=width, num_attention_heads=heads, num_pooler_layers=depth - 1)
  module = VJEPA2AttentivePooler(config).eval()
  shapes = {name: tuple(t.shape) for name, t in module.state_dict().items()}
  module.load_state_dict({name: torch.from_numpy(a) for name, a in weights.make_weights(shapes, depth).items()})
  x = torch.from_numpy(weights.make_video((2, tokens, width), depth)).requires_grad_()
  pooled = module(x)
  pooled.sum().backward()
  return {"about": json.dumps(dict(depth=depth, tokens=x.shape, shapes=list(shapes.items()))),
          "pooled": pooled.detach().numpy(), "gradient": x.grad.numpy()}


def bicubic(h: int, w: int, height: int, width: int) -> np.ndarray:
  """torch's bicubic interpolation of a seeded (h, w, 3) -> (height, width, 3)."""
  grid = torch.from_numpy(weights.make_video((h, w, 3), 0)).permute(2, 0, 1)[None]
  out = torch.nn.functional.interpolate(grid, size=(height, width), mode="bicubic", align_corners=False)
  return out[0].permute(1, 2, 0).numpy()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--full", action="store_true", help="width 1024, 16 heads, depth 4, 196 tokens")
  if parser.parse_args().full:
    print({name: f"{x:.1e}" for name, x in probe.compare(attentive(4, 1024, 16, 196)).items()})
    return
  golden = {depth: attentive(depth, 128, 2, 12) for depth in (1, 4)}
  for depth, values in golden.items():
    print(depth, probe.compare(values))
  np.savez_compressed(PARTS / "attentive.npz", **{f"{name}_{depth}": a for depth, values in golden.items()
                                                  for name, a in values.items()})
  np.savez_compressed(PARTS / "bicubic.npz", **{"_".join(map(str, s)): bicubic(*s) for s in SIZES})


if __name__ == "__main__":
  main()
