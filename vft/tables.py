"""Tables for the terminal: what trains, before the first step, and what came out, after the last."""
import io
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vft.progress import duration

HEADLINE = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1", "auroc": "AUROC",
            "map": "mean average precision", "quadratic_kappa": "quadratic kappa", "mae": "mean absolute error",
            "rmse": "root mean square error", "r2": "R2"}
BY_KIND = {"single": ("accuracy", "balanced_accuracy", "auroc", "macro_f1"), "multi": ("map", "auroc", "macro_f1"),
           "ordinal": ("accuracy", "quadratic_kappa", "mae"), "regression": ("mae", "rmse", "r2")}
PHASES = {"video/strict/accuracy": "accuracy, mean over videos", "video/strict/jaccard": "Jaccard, mean over videos",
          "video/relaxed/jaccard": "Jaccard, relaxed boundary", "edit": "edit score", "f1@50": "segmental F1@50"}
UNITS = {"clip": "clips", "video": "moments", "patient": "patients"}
SMALLER = ("mae", "rmse")  # less is better
LEVELS = ("video", "patient")
MANY = 20  # classes
SETS = "0.9"  # whose coverage is shown


def print_results(result: Mapping[str, Any], file: TextIO | None = None):
  """The closing table of a run from its result.json: test figures, controls and cost. Fits 80 columns."""
  console = make_console(file or sys.stdout)
  data, test, controls = result.get("data", {}), result.get("test", {}), result.get("controls", {})
  levels = [level for level in LEVELS if test.get(level)]
  digits = 3 if any(f.get("n", 0) >= 1000 for level in levels for f in test[level].values()) else 2
  console.print()
  if data.get("simulated"):
    console.print(Text("SIMULATED data: these figures say nothing about real videos.", style="bold yellow"))
  if levels:
    console.print(_heading(data, test, levels))
    console.print(_figures_table(test, levels, digits, headline(data)))
    if "folds" in result:
      console.print(Text(f"Mean of {result['folds']['count']} folds, 95 % interval over folds: a rule of thumb",
                         style="bold"))
      console.print(_figures_table(result["folds"]["test"], levels, digits, headline(data), recalls=False))
    for line in _calibration(result, levels[0], digits):  # the level on which it was chosen
      console.print(Text(line))
    for line in _sets(result, levels[0], digits):
      console.print(Text(line))
  else:
    console.print("No test figures in this result.")
  if controls and levels:
    console.print(Text("Controls: their figure, and by how much the model is better", style="bold"))
    names = headline(data, 3)
    console.print(_controls_table(controls, levels, digits, names))
    _print_verdict(console, controls, levels[-1], names)
  console.print(_cost(result.get("cost", {})))


def print_groups(rows: Sequence[Mapping[str, Any]], file: TextIO | None = None) -> str:
  """Rows of `optim.table` -> a printed table of what trains; returns it as plain text, 100 columns, for params.txt."""
  table = Table(box=box.SIMPLE_HEAD, title="What trains", title_style="bold", title_justify="left", pad_edge=False)
  table.add_column("group", overflow="fold")
  for name in ("parameters", "size", "optimiser", "lr", "decay"):
    table.add_column(name, justify="right", no_wrap=True)
  table.add_column("schedule")
  for row in rows:
    trains = row.get("train", True)
    rate = (_rates(row), f"{row['wd']:g}", _when(row)) if trains else ("frozen", "–", "–")
    table.add_row(str(row["group"]), *_amounts(row), *rate, style="" if trains else "dim")
  table.add_section()
  total = {k: sum(row[k] for row in rows) for k in ("parameters", "bytes", "optimizer_bytes")}
  active = sum(row["parameters"] for row in rows if row.get("train", True))
  table.add_row("all", *_amounts(total), f"{100 * active / max(total['parameters'], 1):.3g} % trains", "", "")
  make_console(file or sys.stdout).print(table)
  plain = io.StringIO()
  make_console(plain, width=100, color_system=None, force_terminal=False).print(table)
  return "\n".join(line.rstrip() for line in plain.getvalue().splitlines()) + "\n"


def _rates(row: Mapping[str, Any]) -> str:
  return f"{row['lr']:g}" if row["least_lr"] == row["lr"] else f"{row['least_lr']:.3g}–{row['lr']:.3g}"


def _when(row: Mapping[str, Any]) -> str:
  return f"{row['schedule']}, after epoch {row['epoch']}" if row["epoch"] else str(row["schedule"])


def _heading(data: Mapping[str, Any], test: Mapping[str, Any], levels: Sequence[str]) -> Text:
  unit = data.get("grouped_by") or "patient"
  groups = max((f.get("n", 0) for f in test[levels[0]].values()), default=0)
  text = Text("Test", style="bold")
  text.append(f"  {data['source']}" if data.get("source") else "", style="not bold")
  clips = data.get("clips")
  if isinstance(clips, Mapping):
    counts = ", ".join(f"{k} {v}" for k, v in clips.items())
    text.append(f"\n{UNITS[data.get('unit', 'clip')]}: {counts}", style="not bold")
  text.append(f"\n95 % intervals in brackets, by bootstrap of {groups} {unit}s", style="not bold")
  if unit == "video":
    text.append("\ngrouped by video: if patients have several videos, the intervals are too narrow",
                style="yellow not bold")
  return text


def headline(data: Mapping[str, Any], most: int = 9) -> dict[str, str]:
  """{metric: words} of the first figures of each task."""
  tasks = data.get("tasks") or [{"name": "label", "kind": "single"}]
  several, words = len(tasks) > 1, HEADLINE | PHASES
  phases = tuple(PHASES) if data.get("unit") == "video" else ()
  return {f"{t['name']}/{key}" if several else key: f"{t['name']}: {words[key]}" if several else words[key]
          for t in tasks for key in (*BY_KIND[t["kind"]], *(phases if t["kind"] == "single" else ()))[:most]}


def _calibration(result: Mapping[str, Any], level: str, digits: int) -> list[str]:
  """At most three lines on the first task that has an ECE: before and after calibration, and at its threshold."""
  before, after = ((result.get(key) or {}).get(level, {}) for key in ("test", "test_calibrated"))
  tasks = result.get("data", {}).get("tasks") or ()
  prefixes = {task["name"]: f"{task['name']}/" if len(tasks) > 1 else "" for task in tasks}
  task = next((t for t in tasks if f"{prefixes[t['name']]}ece" in after), None)
  if task is None:
    return []
  prefix, entry = prefixes[task["name"]], result.get("calibration", {}).get(task["name"])
  how = f"temperature {entry['temperature']:.2f}" if entry else "by each fold"
  error = f"{number(before[f'{prefix}ece']['value'], digits)} -> {interval(after[f'{prefix}ece'], digits)}"
  lines = [f"Calibrated ({how}): {prefix}ECE per {level} {error}"]
  if entry and entry["thresholds"]:
    name = task["classes"][1]
    lines += [f"At the threshold {entry['thresholds'][0]:.2f} ({entry['rule']}) for {name}:",
              f"  sensitivity {interval(after[f'{prefix}recall/{name}'], digits)}, "
              f"specificity {interval(after[f'{prefix}specificity/{name}'], digits)}"]
  return lines


def _sets(result: Mapping[str, Any], level: str, digits: int) -> list[str]:
  """One line of the first task that has conformal sets at the coverage `SETS`: what they cover, how large they are."""
  entry = next((e[level] for e in result.get("conformal", {}).get(SETS, {}).values() if e.get(level)), None)
  if not entry or not entry["test"]:
    return []
  size = "mean width" if entry["kind"] == "regression" else "mean number of classes"
  return [f"Sets per {level} meant to cover {SETS}: {interval(entry['test']['coverage'], digits)}, {size} "
          f"{entry['test']['size']['value']:.3g}"]


def _figures_table(test: Mapping[str, Any], levels: Sequence[str], digits: int, names: Mapping[str, str],
                   recalls: bool = True) -> Table:
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  table.add_column("figure", overflow="fold")
  for level in levels:
    table.add_column(f"per {level}", no_wrap=True)
  names = {**names, **{k: k for k in test[levels[0]] if k.startswith("top")}}
  of = {k: f"  {k.removeprefix('recall/')}" for k in test[levels[0]] if recalls and k.startswith("recall/")}
  for key, name in names.items():
    if any(key in test[level] for level in levels):
      table.add_row(name, *(interval(test[level].get(key), digits) for level in levels))
  if of:
    table.add_row(Text("recall of", style="dim"))
  shown = list(of)
  if len(of) > MANY:  # a list of hundreds hides what is above it: show where the model is weakest
    measured = [k for k in of if test[levels[0]][k]["value"] is not None]
    shown = sorted(measured, key=lambda k: test[levels[0]][k]["value"])[:MANY // 2]
  for key in shown:
    table.add_row(of[key], *(interval(test[level].get(key), digits) for level in levels))
  if len(shown) < len(of):
    table.add_row(Text(f"  these are the {len(shown)} lowest of {len(of)}", style="dim"))
  return table


def _controls_table(controls: Mapping[str, Any], levels: Sequence[str], digits: int, names: Mapping[str, str]) -> Table:
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  table.add_column("control", overflow="fold")
  for level in levels:
    table.add_column(f"per {level}\n{'value':{digits + 4}}difference", no_wrap=True)
  for control, entry in controls.items():
    table.add_row(Text(control.replace("_", " "), style="bold"))
    for key, name in names.items():
      cells = []
      for level in levels:
        figure, gain = (part.get(key) or {} for part in (entry.get(level) or {}, difference(entry, level)))
        cells.append(f"{number(figure.get('value'), digits)}  {interval(gain, digits, sign='+')}")
      table.add_row(f"  {name}", *cells)
  return table


def _print_verdict(console: Console, controls: Mapping[str, Any], level: str, names: Mapping[str, str]):
  """Names the controls that the model is not shown to beat: an interval of the difference that reaches down to 0."""
  for control, entry in controls.items():
    weak = [name for key, name in names.items() if is_weak(key, difference(entry, level).get(key))]
    if weak:
      console.print(Text(f"Not shown to beat {control.replace('_', ' ')} per {level} in {', '.join(weak)}.", "yellow"))


def is_weak(key: str, gain: Mapping[str, Any] | None) -> bool:
  """Whether the interval of a difference reaches the side on which the control is as good."""
  if not gain:
    return False
  return (gain.get("high") or 0) >= 0 if key.rsplit("/", 1)[-1] in SMALLER else (gain.get("low") or 0) <= 0


def difference(entry: Mapping[str, Any], level: str) -> Mapping[str, Any]:
  return (entry.get("difference") or {}).get(level) or {}


def _cost(cost: Mapping[str, Any]) -> Text:
  parts = [duration(cost["total_s"])] if cost.get("total_s") is not None else []
  if cost.get("peak_memory_gib") is not None:
    parts.append(f"peak memory {cost['peak_memory_gib']:.1f} GiB")
  if cost.get("stopped_early_at") is not None:
    parts.append(f"stopped early after step {cost['stopped_early_at']}")
  total = max(cost.get("total_s") or 0, sum(cost.get("by_cause", {}).values()), 1e-9)
  shares = [f"{k} {100 * v / total:.0f} %" for k, v in cost.get("by_cause", {}).items() if v / total >= 0.005]
  lines = [" · ".join(part) for part in (parts, shares) if part]
  return Text("Cost  ", style="bold").append("\n      ".join(lines) or "not measured", style="not bold")


def make_console(file: Any, **options: Any) -> Console:
  """A console that prints names as they are."""
  return Console(file=file, highlight=False, markup=False, emoji=False, **options)  # names may hold [brackets]


def interval(figure: Mapping[str, Any] | None, digits: int, sign: str = "") -> str:
  """{"value", "low", "high"} -> "0.91 [0.86, 0.95]"; a dash for what is not defined.

  >>> interval({"value": 0.912, "low": 0.861, "high": 0.953}, 2)
  '0.91 [0.86, 0.95]'
  """
  figure = figure or {}
  value, low, high = (number(figure.get(k), digits, sign) for k in ("value", "low", "high"))
  return value if value == "–" or "–" in (low, high) else f"{value} [{low}, {high}]"


def number(value: float | None, digits: int, sign: str = "") -> str:
  """With so many decimals; a dash for what is not defined."""
  return "–" if value is None else f"{round(value, digits) + 0.0:{sign}.{digits}f}"  # + 0.0: no -0.00


def _amounts(row: Mapping[str, Any]) -> tuple[str, str, str]:
  return f"{row['parameters']:,}", _size(row["bytes"]), _size(row["optimizer_bytes"])


def _size(count: int) -> str:
  power = min(int(math.log(max(count, 1), 1024)), 3)
  return f"{count / 1024**power:.{min(power, 1)}f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
