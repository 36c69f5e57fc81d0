"""sweep.png: validation against each field that was tried, the choice marked; of blocks what they cost, too."""
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from matplotlib import ticker
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vft.sweep.space import BLOCKS, Field

BLUE, ORANGE, GREY = "#1f5fa8", "#d1650a", "#7a7a7a"
WIDTH, HEIGHT, COLUMNS = 4.2, 3.4, 3  # inches of a panel, and how many stand side by side


def plot(path: Path, space: Sequence[Field], rows: Sequence[Any], best: Any, select: str) -> None:
  """Draws `report.Row`s; failed ones are crosses at the lower edge."""
  panels = [partial(_figure_panel, one=one, name=select, of=lambda r: r.figure) for one in space]
  if space[0].name == BLOCKS:
    beside = [] if best.headline[0] in ("", select) else [
        partial(_figure_panel, one=space[0], name=best.headline[0], of=lambda r: r.headline[1])]
    panels[1:1] = [*beside, partial(_cost_panel, one=space[0])]
  across = min(len(panels), COLUMNS)
  down = -(-len(panels) // across)
  figure = Figure((WIDTH * across, HEIGHT * down), dpi=150, layout="constrained")
  for axes, panel in zip(figure.subplots(down, across, squeeze=False).flat, panels, strict=False):
    panel(axes, rows=rows, best=best)
  figure.axes[0].legend(frameon=False, fontsize=8)
  for axes in figure.axes[len(panels):]:
    axes.set_visible(False)
  figure.savefig(path)


def _figure_panel(axes: Axes, *, one: Field, rows: Sequence[Any], best: Any, name: str,
                  of: Callable[[Any], Mapping[str, Any]]) -> None:
  """The validation figure `name` of all trials, by `of`, against one field, with their intervals."""
  places = _places(axes, one)
  done = [r for r in rows if not r.failed and r.same_as is None]
  for row in done:
    together = [r for r in done if r.values[one.name] == row.values[one.name]]  # side by side where there is a list
    beside = 0.5 * ((together.index(row) + 0.5) / len(together) - 0.5) if one.values else 0.0
    x, f, chosen = places(row) + beside, of(row), row is best
    if f["low"] is not None:
      axes.plot([x, x], [f["low"], f["high"]], color=ORANGE if chosen else BLUE, alpha=1 if chosen else 0.35,
                linewidth=2, zorder=1, solid_capstyle="butt")
    axes.plot(x, f["value"], "o", color=ORANGE if chosen else BLUE, markersize=9 if chosen else 6,
              zorder=3 if chosen else 2)
  failed = [places(r) for r in rows if r.failed]
  if failed:
    axes.plot(failed, [0.03] * len(failed), "x", color=GREY, transform=axes.get_xaxis_transform())
  axes.plot([], [], "o", color=ORANGE, markersize=9, label=f"chosen: trial {best.trial}")
  if failed:
    axes.plot([], [], "x", color=GREY, label="failed")
  axes.set_ylabel(f"validation {name}" + (", 95 % interval" if of(done[0])["low"] is not None else ""))


def _cost_panel(axes: Axes, *, one: Field, rows: Sequence[Any], best: Any) -> None:
  """Minutes of each trial, and how many parameters train."""
  places = _places(axes, one)
  for row in (r for r in rows if r.seconds is not None and r.same_as is None):
    axes.bar(places(row), row.seconds / 60, 0.6, color=ORANGE if row is best else BLUE, alpha=0.8)
    axes.annotate(count_text(row.trained_parameters), (places(row), row.seconds / 60), ha="center", va="bottom",
                  fontsize=8)
  axes.set_ylabel("minutes a trial")
  axes.set_title("above the bars: trained parameters", fontsize=8)
  axes.margins(y=0.12)


def count_text(value: int) -> str:
  """12689984 -> "12.7 M"."""
  for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
    if value >= size:
      return f"{value / size:.3g} {letter}"
  return str(value)


def _places(axes: Axes, one: Field) -> Callable[[Any], float]:
  """Labels the axis of a field and returns row -> its place on it: a number, or the position in a list."""
  axes.set_xlabel("trained blocks, counted from the last" if one.name == BLOCKS else one.name)
  axes.spines[["top", "right"]].set_visible(False)
  axes.grid(axis="y", alpha=0.3)
  if one.values:
    axes.set_xticks(range(len(one.values)), one.values)
    axes.set_xlim(-0.5, len(one.values) - 0.5)
    return lambda row: one.values.index(row.values[one.name])
  if one.log:
    axes.set_xscale("log")
    decades = math.log10(one.high / one.low)
    axes.xaxis.set_major_locator(ticker.LogLocator(subs=(1.0,) if decades >= 2 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(ticker.NullFormatter())
  else:
    axes.xaxis.set_major_locator(ticker.MaxNLocator(6, integer=one.whole))
  return lambda row: float(row.values[one.name])
