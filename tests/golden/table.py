"""The table of families, written into tests/golden/README.md: python -m tests.golden.table"""
import functools
import json
import math
import tempfile
from pathlib import Path

import jax
import numpy as np

from tests.golden import check
from vft.convert.registry import REGISTRY
from vft.models import FAMILIES, make

HERE = Path(__file__).parent
CLIP = (1, 16, 224, 224, 3)  # the same for all, so that costs can be compared
MARK = "<!-- made by python -m tests.golden.table; do not edit below -->\n"


def cost(name: str, variant: str) -> tuple[float, float]:
  """Millions of parameters of the trunk, GFLOPs of its forward pass over CLIP (a multiply-add counts as two)."""
  model = make(name, variant=variant, num_classes=2)
  video = jax.ShapeDtypeStruct(CLIP, np.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), video)
  trunk = {k: v for k, v in variables["params"].items() if k != "head"}
  run = jax.jit(lambda v, x: model.apply(v, x, method="features")[0])
  flops = run.trace(variables, video).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
  return sum(math.prod(x.shape) for x in jax.tree.leaves(trunk)) / 1e6, flops / 1e9


@functools.cache
def parity() -> tuple[dict[str, list[tuple[str, dict]]], dict[str, dict]]:
  """Largest differences by family: of the golden files, computed now, and of the full-size runs, as noted."""
  tiny: dict[str, list[tuple[str, dict]]] = {}
  for path in sorted(HERE.glob("*.npz")):
    about, want = check.read(path)
    with tempfile.TemporaryDirectory() as folder:
      tiny.setdefault(about["model"]["name"], []).append((path.stem, check.compare(about, want, Path(folder))))
  file = HERE / "parity.json"
  return tiny, json.loads(file.read_text()) if file.is_file() else {}


def largest(about: dict) -> str:
  """Outputs in float32, gradients in float64 where float32 missed the limit: see make.py."""
  outputs, gradients = ([about[kind][name] for name in names] for kind, names in (
      ("float32", check.OUTPUTS[:2]), ("float64" if "float64" in about else "float32", check.OUTPUTS[2:])))
  return f"{max(outputs):.0e} / {max(gradients):.0e}{' (float64)' if 'float64' in about else ''}"


def rows() -> list[str]:
  """One line per family."""
  tiny, full = parity()
  lines = []
  for name, family in FAMILIES.items():
    variants = [v for v in family.variants if v and "tiny" not in v] or [""]
    costs = {v: cost(name, v) for v in variants}
    entries = [e for e in REGISTRY.values() if e.family == name]
    small = ", ".join(f"{max(found.values()):.0e}" for _, found in tiny.get(name, []))
    large = ", ".join(f"{about['model'].get('variant') or kind} {largest(about)}" for kind, about in full.items()
                      if about["model"]["name"] == name)
    formats = sorted({Path(e.file or e.url).suffix for e in entries})
    lines.append(" | ".join((
        f"| {name}", ", ".join(variants).strip() or "one", ", ".join(formats),
        ", ".join(f"{c[0]:.1f}" for c in costs.values()), ", ".join(f"{c[1]:.0f}" for c in costs.values()),
        small or "see tests/models/test_i3d.py", large or "likewise",
        "; ".join(sorted({e.licence.split(" (")[0] for e in entries})))) + " |")
  return lines


def main() -> None:
  head = ["| family | variants | formats | parameters (M) | GFLOPs per 16 x 224 x 224 clip | parity, small "
          "| parity, full size: outputs / gradients | licence of the weights |", "|---|---|---|---|---|---|---|---|"]
  path = HERE / "README.md"
  kept = path.read_text().split(MARK)[0]
  path.write_text(kept + MARK + "\n" + "\n".join(head + rows()) + "\n")
  print("\n".join(rows()))


if __name__ == "__main__":
  main()
