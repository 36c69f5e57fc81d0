"""What a sweep found: sweep.csv, sweep.json, sweep.png and a table, best validation first."""
import csv
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from ml_collections import ConfigDict
from rich import box
from rich.console import Console
from rich.table import Table

from vft import config as configs
from vft import hooks, tables
from vft import workdir as workdirs
from vft.errors import RunError
from vft.sweep import plot
from vft.sweep.space import BLOCKS
from vft.sweep.study import Study

Figure = Mapping[str, float | None]  # value, low, high


class Asked(Protocol):
  """See `command.Asked`."""
  name: str
  flags: list[str]

  def config(self, values: Mapping[str, str], controls: bool = False) -> ConfigDict: ...


@dataclass(frozen=True)
class Row:
  """One trial: its validation figure with the interval of its result.json, its cost, or why it has none."""
  trial: int
  values: dict[str, str]
  figure: Figure = field(default_factory=dict)
  headline: tuple[str, Figure] = field(default_factory=lambda: ("", {}))  # what people ask for first, such as accuracy
  seconds: float | None = None  # of its last start only, where it had several
  starts: int = 1
  trained_parameters: int | None = None
  step_gflop: float | None = None
  peak_memory_gib: float | None = None
  same_as: int | None = None
  failed: str = ""


def place(folder: Path, number: int) -> Path:
  """The folder of a trial."""
  return folder / f"trial_{number:03}"


def report(study: Study, asked: Asked, folder: Path) -> None:
  """Writes and prints all; names the choice and the command that trains it with controls.

  Raises RunError where no trial came to an end.
  """
  select = asked.config({}).train.select
  rows = [_row(study, trial, folder, select) for trial in study.all()]
  good = sorted((r for r in rows if not r.failed), key=lambda r: _rank(r, select))
  if not good:
    raise RunError(f"None of {len(rows)} trials came to an end. The first: {rows[0].failed}")
  best = next(r for r in good if r.same_as is None)
  config, command = asked.config(best.values, controls=True), _command(asked, best, folder)
  (folder / "chosen.json").write_text(configs.to_json(config))
  result = json.loads((place(folder, best.trial) / "result.json").read_text())
  _write_csv(folder / "sweep.csv", rows, select)
  workdirs.write_json(folder / "sweep.json", {
      "config": asked.name, "select": select, "space": {f.name: str(f) for f in study.space},
      "trials": [asdict(r) for r in rows], "command": command,
      "chosen": {"trial": best.trial, "values": best.values, "figure": best.figure, "test": result["test"],
                 "config": str(folder / "chosen.json"), "folder": str(place(folder, best.trial))}})
  plot.plot(folder / "sweep.png", study.space, rows, best, select)
  console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False)
  console.print(_table([*good, *(r for r in rows if r.failed)], best, study, select))
  for row in rows:
    if row.failed:
      console.print(f"Trial {row.trial} failed: {row.failed.splitlines()[0]}")
  console.print(f"Chosen: trial {best.trial}, {_said(best)}, by validation {select} alone. Best of {len(good)}, that "
                "figure is flattering; the test figures had no part in the choice and are of this trial only:")
  tables.print_results(result)
  console.print(f"\nTable, plot and every trial: {folder}/sweep.csv, sweep.png, trial_000 ...")
  if BLOCKS in best.values and BLOCKS in config.groups:
    console.print(f"The rate of the blocks was {config.groups[BLOCKS].lr:g}: --config.groups.blocks.lr=... sets it.")
  console.print("The choice, trained again with controls:", style="bold")
  console.print(f"  {command}", soft_wrap=True)


def _row(study: Study, trial: Any, folder: Path, select: str) -> Row:
  values, attributes = study.texts(trial.params), trial.user_attrs
  common = dict(trial=trial.number, values=values, starts=attributes["starts"], same_as=attributes.get("same_as"))
  if "failed" in attributes:
    return Row(**common, failed=attributes["failed"])
  source = common["same_as"] if common["same_as"] is not None else trial.number
  result = json.loads((place(folder, source) / "result.json").read_text())
  cost = result["cost"]
  figures = next(iter(result["val"].values()))
  headline = next(((k, figures[k]) for k in tables.HEADLINE if k in figures), ("", {}))
  return Row(**common, figure={**_interval(result["val"], select), "value": trial.value}, headline=headline,
             seconds=cost["total_s"], trained_parameters=cost["trained_parameters"],
             peak_memory_gib=cost["peak_memory_gib"], step_gflop=attributes.get("gflop"))


def _interval(val: Mapping[str, Any], select: str) -> Figure:
  """Limits of the figure in result.json; none of a loss over several tasks, which it does not hold."""
  level, _, name = select.partition("/")
  figures = val[level] if level in val else next(iter(val.values()))
  found = figures.get(name if level in val else select, {})
  return {"low": found.get("low"), "high": found.get("high")}


def _rank(row: Row, select: str) -> float:
  return (1 if hooks.smaller(select) else -1) * (row.figure["value"] or 0.0)


def _said(row: Row) -> str:
  return ", ".join(f"{k}={v}" for k, v in row.values.items())


def _command(asked: Asked, best: Row, folder: Path) -> str:
  """The next command. Rules cannot be written as flags well, so a choice of blocks is read from its file."""
  name = Path(asked.name).stem
  start = [f"--config={folder / 'chosen.json'}"] if BLOCKS in best.values else [
      f"--config={asked.name}", *asked.flags, *(f"--config.{k}={v}" for k, v in best.values.items())]
  return shlex.join(["vft", "train", *start, f"--workdir=runs/{name}_chosen"])


def _table(rows: Sequence[Row], best: Row, study: Study, select: str) -> Table:
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=f"Trials by validation {select}", title_justify="left",
                title_style="bold")
  table.add_column("trial", justify="right")
  for one in study.space:
    table.add_column(one.short, justify="right", no_wrap=True)
  table.add_column(select, no_wrap=True)
  beside = best.headline[0] if BLOCKS in best.values and best.headline[0] != select else ""
  if beside:
    table.add_column(beside, no_wrap=True)
  for name in ("s", "trained", "GFLOP", "GiB"):
    table.add_column(name, justify="right", no_wrap=True)
  for row in rows:
    cells = [f"{'▸ ' if row is best else ''}{row.trial}", *row.values.values(),
             "failed" if row.failed else _cell(row.figure)]
    if beside:
      cells += [_number(row.headline[1].get("value"), ".3f")]
    table.add_row(*cells, *_costs(row), style="bold" if row is best else "dim" if row.failed else "")
  table.caption = "▸ chosen; s: seconds of the run" + (" (* interrupted: of its last start)" if any(
      r.starts > 1 for r in rows) else "") + "; GFLOP of a step; GiB: peak of memory"
  return table


def _costs(row: Row) -> list[str]:
  if row.same_as is not None:
    return [f"as {row.same_as}", "", "", ""]
  trained = row.trained_parameters
  return [_number(row.seconds, ".0f") + ("*" if row.starts > 1 else ""), plot.count_text(trained) if trained else "–",
          _small(row.step_gflop), _number(row.peak_memory_gib, ".1f")]


def _cell(figure: Figure) -> str:
  limits = "" if figure["low"] is None else f" [{figure['low']:.3f}, {figure['high']:.3f}]"
  return f"{figure['value']:.3f}{limits}"


def _number(value: float | None, form: str) -> str:
  return "–" if value is None else f"{value:{form}}"


def _small(value: float | None) -> str:
  return "<0.01" if value is not None and value < 0.01 else _number(value, ".2f")


def _write_csv(path: Path, rows: Sequence[Row], select: str) -> None:
  with path.open("w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["trial", *rows[0].values, select, "low", "high", "seconds", "starts", "trained_parameters",
                  "step_gflop", "peak_memory_gib", "same_as", "failed", "headline", "headline_value"])
    for r in rows:
      out.writerow([r.trial, *r.values.values(), *(r.figure.get(k) for k in ("value", "low", "high")), r.seconds,
                    r.starts, r.trained_parameters, r.step_gflop, r.peak_memory_gib, r.same_as, r.failed,
                    r.headline[0], r.headline[1].get("value")])
