"""The table of families, written into tests/golden/README.md.

  python -m tests.golden.table            every family anew, several minutes
  python -m tests.golden.table FAMILY...  these rows only
"""
import argparse
import json
import math
import tempfile
from collections.abc import Collection
from pathlib import Path

import jax
import numpy as np

from tests.golden import check
from vft.convert.registry import REGISTRY
from vft.models import FAMILIES, make

HERE = Path(__file__).parent
CLIP = (1, 16, 224, 224, 3)  # the same for all, so that costs can be compared
MARK = "<!-- made by python -m tests.golden.table; do not edit below -->\n"
HEAD = ["| family | variants | formats | parameters (M) | GFLOPs per 16 x 224 x 224 clip | parity, small "
        "| parity, full size: outputs / gradients | licence of the weights |", "|---|---|---|---|---|---|---|---|"]
SHOWN = {"i3d": "see tests/models/test_i3d.py"}  # whose parity is shown elsewhere than by a golden file


def cost(name: str, variant: str) -> tuple[float, float]:
  """Millions of parameters of the trunk, GFLOPs of its forward pass over CLIP (a multiply-add counts as two)."""
  model = make(name, variant=variant, num_classes=2)
  video = jax.ShapeDtypeStruct(CLIP, np.float32)
  variables = jax.eval_shape(model.init, jax.random.key(0), video)
  trunk = {k: v for k, v in variables["params"].items() if k != "head"}
  run = jax.jit(lambda v, x: model.apply(v, x, method="features")[0])
  flops = run.trace(variables, video).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
  return sum(math.prod(x.shape) for x in jax.tree.leaves(trunk)) / 1e6, flops / 1e9


def parity(names: Collection[str]) -> tuple[dict[str, list[dict]], dict[str, dict]]:
  """Largest differences by family: of the golden files, computed now, and of the full-size runs, as noted."""
  tiny: dict[str, list[dict]] = {}
  for path in sorted(HERE.glob("*.npz")):
    about, want = check.read(path)
    if about["model"]["name"] in names:
      with tempfile.TemporaryDirectory() as folder:
        tiny.setdefault(about["model"]["name"], []).append(check.compare(about, want, Path(folder)))
  file = HERE / "parity.json"
  return tiny, json.loads(file.read_text()) if file.is_file() else {}


def largest(about: dict) -> str:
  """Outputs in float32, gradients in float64 where float32 missed the limit: see make.py."""
  outputs, gradients = ([about[kind][name] for name in names] for kind, names in (
      ("float32", check.OUTPUTS[:2]), ("float64" if "float64" in about else "float32", check.OUTPUTS[2:])))
  return f"{max(outputs):.0e} / {max(gradients):.0e}{' (float64)' if 'float64' in about else ''}"


def rows(names: Collection[str]) -> dict[str, str]:
  """The lines of these families."""
  tiny, full = parity(names)
  lines = {}
  for name in names:
    variants = [v for v in FAMILIES[name].variants if v and "tiny" not in v] or [""]
    costs = {v: cost(name, v) for v in variants}
    entries = [e for e in REGISTRY.values() if e.family == name]
    small = ", ".join(f"{max(found.values()):.0e}" for found in tiny.get(name, []))
    large = ", ".join(f"{about['model'].get('variant') or kind} {largest(about)}" for kind, about in full.items()
                      if about["model"]["name"] == name)
    files = [Path(e.file or e.url) for e in entries]
    formats = sorted({f.suffix or f.name for f in files} - {""})  # of some only the page is known
    lines[name] = " | ".join((
        f"| {name}", ", ".join(variants).strip() or "one", ", ".join(formats),
        ", ".join(f"{c[0]:.1f}" for c in costs.values()), ", ".join(f"{c[1]:.0f}" for c in costs.values()),
        small or SHOWN.get(name, "not shown"), large or ("likewise" if name in SHOWN else "not run"),
        "; ".join(sorted({e.licence.split(" (")[0] for e in entries})))) + " |"
  return lines


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("family", nargs="*", help="the rows to renew, the others stay as they are; none: all of them")
  names = parser.parse_args().family or list(FAMILIES)
  if unknown := set(names) - set(FAMILIES):
    parser.error(f"not a family: {', '.join(sorted(unknown))}; known: {', '.join(FAMILIES)}")
  path = HERE / "README.md"
  kept, table = path.read_text().split(MARK)
  lines = {line.split(" ", 2)[1]: line for line in table.splitlines() if line.startswith("| ")} | rows(names)
  path.write_text(kept + MARK + "\n" + "\n".join(HEAD + [lines[name] for name in FAMILIES if name in lines]) + "\n")
  print("\n".join(lines[name] for name in names))


if __name__ == "__main__":
  main()
