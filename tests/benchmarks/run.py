"""Times pairs, one run of each in turn, and prints medians: load from elsewhere hits both alike.

  python -m tests.benchmarks.run NAME [--rounds=9]  (or python tests/benchmarks/run.py NAME)
"""
import argparse
import functools
import os
import pathlib
import platform
import sys

import jax
import numpy as np

if not __package__:  # started by its path
  sys.path[0] = str(pathlib.Path(__file__).parents[2])

from tests.benchmarks import convolutions, vision_transformers
from tests.benchmarks.timing import SHAPE, Pair, alternate, compiled, features
from vft import metrics, stats

# Of the video, where it is another; (): no video.
SHAPES = {**convolutions.SHAPES, "videomae_cpu": vision_transformers.SHAPE, "share": vision_transformers.SHAPE,
          "bootstrap": ()}


def trunks() -> list[tuple[str, Pair]]:
  """EfficientNet-Lite0 features against I3D's, both with our lowerings."""
  pair = {}
  for name, fields in (("efficientnet_lite", {"variant": "lite0"}), ("i3d", {})):
    f, *args = features(name, **fields)
    pair[name] = compiled(f, *args)
  return [("forward", pair)]


def bootstrap() -> list[tuple[str, Pair]]:
  """10,000 resamples of 1,000 videos of 1,000 patients: all figures of one task, three classes or labels."""
  rng, names, runs = np.random.default_rng(0), ("a", "b", "c"), []
  for kind in metrics.KINDS:
    y = rng.integers(2, size=(1000, 3)) if kind == "multi" else rng.integers(3, size=1000).astype(float)
    out = rng.normal(size=1000) if kind == "regression" else rng.dirichlet(np.ones(3), 1000)
    runs.append((kind, {"bootstrap": functools.partial(
        stats.bootstrap, y, out, np.arange(1000), classes=names, n=10_000, kind=kind)}))
  return runs


NAMES = {**convolutions.NAMES, "trunks": trunks, "videomae_cpu": vision_transformers.videomae_cpu,
         "share": vision_transformers.share, "bootstrap": bootstrap}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("name", choices=NAMES)
  parser.add_argument("--rounds", type=int, default=9)
  args = parser.parse_args()
  shape = SHAPES.get(args.name, SHAPE)
  clips, unit = (shape[0], "s a clip") if shape else (1, "s")
  size = f"{clips} clips of {' x '.join(map(str, shape[1:4]))}, float32, " if shape else ""
  print(f"{NAMES[args.name].__doc__}\n{size}"
        f"{jax.devices()[0].device_kind} {platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"jax {jax.__version__}, {args.rounds} rounds")
  for title, pair in NAMES[args.name]():
    seconds = alternate(pair, args.rounds)
    for name, values in seconds.items():
      values = values / clips
      print(f"  {title:<14}{name:<18} median {np.median(values):.3f} {unit}, least {values.min():.3f}")
    (first, ours), *others = seconds.items()
    for other, values in others:
      print(f"  {title:<14}{other} / {first}: median of the rounds' ratios {np.median(values / ours):.2f}")


if __name__ == "__main__":
  main()
