"""What a grid of heads came to: a table of all points, its best few on the terminal, and a heat map per head."""
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import pandas as pd
from ml_collections import ConfigDict
from rich import box
from rich.table import Table
from rich.text import Text

from vft import evaluate, tables, tasks
from vft.data.manifest import Manifest
from vft.grid import Point
from vft.hooks import smaller

POINT = ("head", "lr", "wd", "seed")
SHOWN = 5  # points on the terminal


def make_table(points: Sequence[Point], chosen: Point, manifest: Manifest, config: ConfigDict,
               steps_per_epoch: int) -> pd.DataFrame:
  """A row per point: POINT, `chosen`, `status`, its best epoch and figures of validation there.

  First of these is what it was chosen by, then the loss and the headline of each task. A point that was not finite has
  none; its status names the step.
  """
  best = [evaluate.values(p.said, manifest, config) if p.said and not p.bad else {} for p in points]
  names = tables.headline({"tasks": tasks.to_json(manifest.tasks), "unit": manifest.unit})
  names = [k for k in dict.fromkeys((config.train.select, "loss", *names)) if any(k in figures for figures in best)]
  rows = [{**{k: getattr(p, k) for k in POINT}, "chosen": p is chosen,
           "status": f"not finite at step {p.bad}" if p.bad else "finite",
           "epoch": math.nan if p.bad else p.step / steps_per_epoch, **{k: figures.get(k) for k in names}}
          for p, figures in zip(points, best, strict=True)]
  return pd.DataFrame(rows).astype({"epoch": "Int64", **dict.fromkeys(names, float)})


def select_of(table: pd.DataFrame) -> str:
  """The figure that the points were chosen by."""
  return str(table.columns[list(table.columns).index("epoch") + 1])


def print_table(table: pd.DataFrame, file: TextIO | None = None) -> None:
  """The best points by validation, and where the chosen one lies in the grid. Fits 80 columns."""
  select, console = select_of(table), tables.make_console(file or sys.stdout)
  fine = table[table.status == "finite"]
  order = fine.sort_values(select, ascending=smaller(select), kind="stable")
  order = pd.concat([order[order.chosen], order[~order.chosen]]).head(SHOWN)
  figures = list(table.columns[list(table.columns).index(select):])[:3]
  shown = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  for name in (*POINT, "epoch", *figures):
    shown.add_column(name.replace("_", " "), justify="left" if name == "head" else "right", overflow="fold")
  for row in order.to_dict("records"):
    shown.add_row(str(row["head"]), f"{row['lr']:g}", f"{row['wd']:g}", str(row["seed"]), str(row["epoch"]),
                  *(tables.number(None if math.isnan(row[k]) else row[k], 3) for k in figures),
                  style="bold" if row["chosen"] else "")
  bad = len(table) - len(fine)
  text = Text("Grid", style="bold").append(
      f"  {len(table)} points{f', {bad} not finite' if bad else ''}; the best {len(order)} by validation {select}, the "
      "first of them tested above", style="not bold")
  console.print(text, shown, sep="\n")
  for line in _at_the_edge(table):
    console.print(Text(line, style="yellow"))


def _at_the_edge(table: pd.DataFrame) -> list[str]:
  """A line where the chosen rate is the least or largest of several: a better one may lie outside."""
  rates, chosen = sorted(set(table.lr)), float(table.lr[table.chosen].iloc[0])
  if len(rates) < 2 or chosen not in (rates[0], rates[-1]):
    return []
  return [f"The chosen rate is the {'least' if chosen == rates[0] else 'largest'} of the grid; look further: "
          f"--config.probe.lr='{_further(rates, chosen)}'"]


def _further(rates: list[float], chosen: float) -> tuple[float, ...]:
  """As many rates about the chosen one, with the same ratio."""
  ratio = (rates[-1] / rates[0]) ** (1 / (len(rates) - 1)) if rates[0] else 3.0
  return tuple(float(f"{chosen * ratio ** (i - len(rates) // 2):.1g}") for i in range(len(rates)))


def draw(table: pd.DataFrame, path: Path) -> None:
  """A heat map per head, decay against rate, of the mean over seeds of what was chosen by; writes a PNG."""
  from matplotlib.figure import Figure  # loaded only here: it takes a second
  select, heads = select_of(table), list(dict.fromkeys(table["head"]))
  rates, decays = sorted(set(table.lr)), sorted(set(table.wd))
  size = (1.6 + len(heads) * max(2.8, 0.95 * len(rates)), 1.7 + max(1.6, 0.55 * len(decays)))
  figure = Figure(figsize=size, layout="constrained", dpi=150)
  axes = figure.subplots(1, len(heads), squeeze=False)[0]
  grids = {head: _mean(table[table["head"] == head], select, rates, decays) for head in heads}
  every = np.concatenate([g.ravel() for g in grids.values()])
  low, median, high = (float(f(every)) for f in (np.nanmin, np.nanmedian, np.nanmax))
  falling = smaller(select)
  if falling and median > low:  # a few rates that are far too high would leave the others one colour
    high = min(high, 3 * median - 2 * low)
  image: Any = None
  for axis, (head, grid) in zip(axes, grids.items(), strict=True):
    image = axis.imshow(grid, cmap="viridis_r" if falling else "viridis", vmin=low, vmax=max(high, low + 1e-9),
                        origin="lower", aspect="auto")
    axis.set_facecolor("0.8")
    axis.set(title=head, xlabel=f"learning rate{_scale(rates)}", ylabel=f"weight decay{_scale(decays)}",
             xticks=range(len(rates)), yticks=range(len(decays)),
             xticklabels=[f"{x:g}" for x in rates], yticklabels=[f"{x:g}" for x in decays])
    _write_cells(axis, grid, image)
    for row in table[table.chosen & (table["head"] == head)].to_dict("records"):
      _mark(axis, rates.index(row["lr"]), decays.index(row["wd"]))
  squares = any(str(name).endswith("rmse") for name in table.columns)  # a part of the loss has no unit
  seeds, unit = table.seed.nunique(), ", in nats" if select == "loss" and not squares else ""
  figure.colorbar(image, ax=list(axes), label=f"validation {select}{unit}",
                  extend="max" if falling and high < np.nanmax(every) else "neither")
  figure.suptitle(f"{len(table)} heads at their best epoch"
                  f"{f', mean of {seeds} seeds' if seeds > 1 else ''}; framed: the chosen one", fontsize=10)
  figure.savefig(path)


def _scale(values: list[float]) -> str:
  """How cells of one size stand for the values of an axis."""
  steps = np.diff(np.log([v for v in values if v]))
  if len(steps) < 1 or steps.max() > 1.5 * steps.min():
    return ""
  return ", log scale" if all(values) else ", log scale above 0"


def _mean(points: pd.DataFrame, select: str, rates: list[float], decays: list[float]) -> np.ndarray:
  """(decays, rates), nan where a seed was not finite."""
  return np.array([[points[select][(points.wd == wd) & (points.lr == lr)].to_numpy(float).mean() for lr in rates]
                   for wd in decays])


def _write_cells(axis: Any, grid: np.ndarray, image: Any) -> None:
  for (y, x), value in np.ndenumerate(grid):
    red, green, blue, _ = image.cmap(image.norm(value)) if np.isfinite(value) else (0.8, 0.8, 0.8, 1.0)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5  # brightness of the cell
    axis.text(x, y, f"{value:#.3g}" if np.isfinite(value) else "not\nfinite", ha="center", va="center", fontsize=8,
              color="white" if dark else "black")


def _mark(axis: Any, x: int, y: int) -> None:
  from matplotlib.patches import Rectangle
  axis.add_patch(Rectangle((x - 0.47, y - 0.46), 0.94, 0.92, fill=False, edgecolor="red", linewidth=2.5))
