"""sweep.png: validation against each field that was tried, the choice marked; of blocks what they cost, too."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vft.sweep.space import BLOCKS, Field

BLUE, ORANGE, GREY = "#1f5fa8", "#d1650a", "#7a7a7a"
WIDTH, HEIGHT, COLUMNS = 4.2, 3.4, 3  # inches of a panel, and how many stand side by side


def plot(path: Path, space: Sequence[Field], rows: Sequence[Any], best: Any, select: str) -> None:
  """Draws `report.Row`s; failed ones are crosses at the lower edge."""
  panels = [(one, "figure") for one in space]
  panels += [(one, "cost") for one in space if one.name == BLOCKS]
  panels.sort(key=lambda p: p[0].name != BLOCKS)
  across = min(len(panels), COLUMNS)
  down = -(-len(panels) // across)
  figure = Figure((WIDTH * across, HEIGHT * down), dpi=150, layout="constrained")
  for axes, (one, kind) in zip(figure.subplots(down, across, squeeze=False).flat, panels, strict=False):
    _figure_panel(axes, one, rows, best, select) if kind == "figure" else _cost_panel(axes, one, rows, best)
  for axes in figure.axes[len(panels):]:
    axes.set_visible(False)
  figure.savefig(path)


def _figure_panel(axes: Axes, one: Field, rows: Sequence[Any], best: Any, select: str) -> None:
  """Validation figures of all trials against one field, with their intervals."""
  places = _places(axes, one)
  done = [r for r in rows if not r.failed and r.same_as is None]
  for row in done:
    x, f, chosen = places(row), row.figure, row is best
    if f["low"] is not None:
      axes.plot([x, x], [f["low"], f["high"]], color=ORANGE if chosen else BLUE, alpha=1 if chosen else 0.35,
                linewidth=2, zorder=1, solid_capstyle="butt")
    axes.plot(x, f["value"], "o", color=ORANGE if chosen else BLUE, markersize=9 if chosen else 6,
              zorder=3 if chosen else 2)
  failed = [places(r) for r in rows if r.failed]
  if failed:
    axes.plot(failed, [0.03] * len(failed), "x", color=GREY, transform=axes.get_xaxis_transform())
  axes.plot([], [], "o", color=ORANGE, label=f"chosen: trial {best.trial}")
  if failed:
    axes.plot([], [], "x", color=GREY, label="failed")
  axes.set_ylabel(f"validation {select}" + (", 95 % interval" if done[0].figure["low"] is not None else ""))
  axes.legend(frameon=False, fontsize=8)


def _cost_panel(axes: Axes, one: Field, rows: Sequence[Any], best: Any) -> None:
  """Minutes of each trial, and how many parameters train."""
  places = _places(axes, one)
  for row in (r for r in rows if r.seconds is not None and r.same_as is None):
    axes.bar(places(row), row.seconds / 60, 0.6, color=ORANGE if row is best else BLUE, alpha=0.8)
    axes.annotate(f"{row.trained_parameters / 1e6:.3g} M", (places(row), row.seconds / 60), ha="center", va="bottom",
                  fontsize=8)
  axes.set_ylabel("minutes a trial (trained parameters above)")
  axes.margins(y=0.12)


def _places(axes: Axes, one: Field) -> Any:
  """Labels the axis of a field and returns row -> its place on it: a number, or the position in a list."""
  axes.set_xlabel("trained blocks, counted from the last" if one.name == BLOCKS else one.name)
  axes.spines[["top", "right"]].set_visible(False)
  axes.grid(axis="y", alpha=0.3)
  if not one.values:
    axes.set_xscale("log" if one.log else "linear")
    return lambda row: float(row.values[one.name])
  axes.set_xticks(range(len(one.values)), one.values)
  axes.set_xlim(-0.5, len(one.values) - 0.5)
  return lambda row: one.values.index(row.values[one.name])
