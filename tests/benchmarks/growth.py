"""Time and memory against clips, frames, resolution, classes and views: log-log, with the fitted exponent.

  python -m tests.benchmarks.growth [clips|frames|resolution|classes|views ...] [--sizes 250 500] [--output FOLDER]

Every size is measured in a process of its own and kept in FOLDER/growth.json (it is not measured again), so that some
sizes can be run now and others later. Time is that of the processor, in all processes: other work on the machine hardly
changes it. Memory is the peak resident size of that process above what it held before the
work; of a training step also what XLA says that the compiled step takes for its intermediate values.
"""
import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
from matplotlib.figure import Figure

from tests.benchmarks import growth_parts

SIZES = {"clips": (250, 500, 1000, 2000, 4000), "frames": (4, 8, 16, 32, 64), "resolution": (32, 64, 128, 256),
         "classes": (2, 8, 32, 128, 512, 2048), "views": (1, 2, 4, 8, 16)}
ROOT = Path(__file__).resolve().parents[2]


def exponent(sizes: list[int], values: list[float]) -> float:
  """The slope of a line through the logarithms."""
  return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def measure(name: str, sizes: list[int], file: Path) -> None:
  """Adds what is missing to the file: {name: {size: {what: value}}}."""
  known = json.loads(file.read_text()) if file.is_file() else {}
  for size in sizes:
    if str(size) in known.get(name, {}):
      continue
    done = subprocess.run([sys.executable, "-m", "tests.benchmarks.growth_parts", name, str(size), str(file.parent)],
                          cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    known.setdefault(name, {})[str(size)] = found
    print(f"{name} {size}: {', '.join(f'{k} {v:.4g}' for k, v in found.items())}; load {os.getloadavg()[0]:.1f}",
          flush=True)
    file.write_text(json.dumps(known, indent=1))


def fit(name: str, found: dict[str, dict[str, float]]) -> None:
  """Prints a line for each quantity: its values, the exponent over all sizes and that of the last two."""
  sizes = sorted(map(int, found))
  if len(sizes) < 2:
    return
  print(f"\n{name}: {growth_parts.PARTS[name].__doc__}")
  print(f"  {'':<26}{''.join(f'{s:>11}' for s in sizes)}   exponent   last")
  for what in found[str(sizes[0])]:
    values = [found[str(s)][what] for s in sizes]
    fitted = [exponent(sizes, values), exponent(sizes[-2:], values[-2:])] if min(values) > 0 else []
    print(f"  {what:<26}{''.join(f'{v:11.4g}' for v in values)}{''.join(f'{v:11.2f}' for v in fitted)}")


def plot(known: dict[str, dict[str, dict[str, float]]], path: Path) -> None:
  """Two panels for each: time above, memory below, with lines of the fitted exponents."""
  names = [n for n in SIZES if len(known.get(n, {})) > 1]
  figure = Figure((3.6 * len(names), 6.4), dpi=110, layout="constrained")
  for column, name in zip(figure.subplots(2, len(names), squeeze=False).T, names, strict=True):
    sizes = sorted(map(int, known[name]))
    for axes, unit in zip(column, (", s", ", MiB"), strict=True):
      for what in (w for w in known[name][str(sizes[0])] if w.endswith(unit)):
        values = [known[name][str(s)][what] for s in sizes]
        if min(values) > 0:
          label = f"{what.removesuffix(unit)}: {exponent(sizes, values):.2f}"
          axes.loglog(sizes, values, "o-", markersize=4, label=label)
      axes.set_xticks(sizes, map(str, sizes), minor=False)
      axes.minorticks_off()
      axes.set_ylabel("seconds of processor time" if unit == ", s" else "MiB")
      axes.grid(alpha=0.3)
      axes.legend(fontsize=7, title="exponent", title_fontsize=7)
    column[0].set_title(name)
    column[1].set_xlabel(name)
  figure.savefig(path)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("names", nargs="*", choices=[*SIZES, []], help="default: all")
  parser.add_argument("--sizes", nargs="+", type=int, help="others than the usual")
  parser.add_argument("--output", type=Path, default=Path("runs/growth"))
  args = parser.parse_args()
  args.output.mkdir(parents=True, exist_ok=True)
  file, names = args.output.resolve() / "growth.json", args.names or list(SIZES)
  for name in names:
    measure(name, args.sizes or list(SIZES[name]), file)
  known = json.loads(file.read_text())
  print(f"{platform.machine()}, {os.cpu_count()} cores, jax {jax.__version__}")
  for name in names:
    fit(name, known[name])
  if any(len(sizes) > 1 for sizes in known.values()):
    plot(known, args.output / "growth.png")


if __name__ == "__main__":
  main()
