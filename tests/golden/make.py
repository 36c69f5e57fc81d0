"""Golden files: what the original implementation computes with seeded weights. Needs torch and the original's package.

  python -m tests.golden.make FAMILY           writes tests/golden/FAMILY.npz at a small size
  python -m tests.golden.make FAMILY --full    compares at full size, in one process, and notes it in parity.json

At full size a few of the millions of ReLU inputs are within rounding of 0: there float32 gradients jump, the original's
own against its float64 ones too. Where float32 misses the limit, --full compares in float64 as well.
"""
import argparse
import importlib
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import torch

from tests.golden import check, weights
from vft.convert import RULES, rules

HERE = Path(__file__).parent


class Original(NamedTuple):
  """A published implementation. `originals/FAMILY.py` has `build(full) -> Original`."""
  module: torch.nn.Module
  run: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]  # video (B, T, H, W, 3) -> logits, mid as ours
  video: tuple[int, ...]  # shape of the input
  model: dict[str, Any]  # arguments of vft.models.make
  mid: str  # our block that gives the second output of `run`
  kernel: str  # name of the original's first kernel
  package: str  # "torchvision 0.29.1"


def outputs(original: Original, seed: int, dtype: torch.dtype) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """The description and the outputs of an original with seeded weights, computed in `dtype`."""
  module = original.module.eval()
  shapes = {name: tuple(t.shape) for name, t in module.state_dict().items() if t.is_floating_point()}
  seeded = weights.make_weights(shapes, seed)
  module.load_state_dict({name: torch.from_numpy(a) for name, a in seeded.items()}, strict=False)
  module.to(dtype).zero_grad()
  video = torch.from_numpy(weights.make_video(original.video, seed)).to(dtype).requires_grad_()
  logits, mid = original.run(video)
  logits.sum().backward()
  first = dict(module.named_parameters())[original.kernel].grad
  ours, _ = rules.apply({original.kernel: first.float().numpy()}, RULES[original.model["name"]])
  (kernel, gradient), = ours.items()
  values = dict(zip(check.OUTPUTS, (logits.detach().numpy(), mid.detach().numpy(), video.grad.numpy(), gradient),
                    strict=True))
  about = dict(model=original.model, video=original.video, mid=original.mid, kernel=kernel, seed=seed,
               package=original.package, shapes=list(shapes.items()))
  return about, {name: weights.sample(a) for name, a in values.items()}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("family", choices=sorted(p.stem for p in (HERE / "originals").glob("[a-z]*.py")))
  parser.add_argument("--full", action="store_true", help="the smallest published variant at its published input")
  parser.add_argument("--seed", type=int, default=0)
  args = parser.parse_args()
  original = importlib.import_module(f"tests.golden.originals.{args.family}").build(args.full)
  found, about, values = {}, {}, {}
  for dtype in (torch.float32, torch.float64):
    if dtype == torch.float64 and (not args.full or max(found["float32"].values()) < check.LIMIT):
      break
    jax.config.update("jax_enable_x64", dtype == torch.float64)
    about, values = outputs(original, args.seed, dtype)
    kind = str(dtype).removeprefix("torch.")
    with tempfile.TemporaryDirectory() as folder:
      found[kind] = check.compare(json.loads(json.dumps(about)), values, Path(folder), kind)
    print(args.family, about["model"], kind, {name: f"{x:.1e}" for name, x in found[kind].items()}, flush=True)
  if args.full:
    path = HERE / "parity.json"
    table = json.loads(path.read_text()) if path.is_file() else {}
    table[args.family] = {**{k: about[k] for k in ("model", "video", "package")}, **found}
    path.write_text(json.dumps(table, indent=1, sort_keys=True) + "\n")
  else:
    np.savez_compressed(HERE / f"{args.family}.npz", about=json.dumps(about), **values)


if __name__ == "__main__":
  main()
