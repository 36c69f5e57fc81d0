"""What vft check says on the terminal, within 80 columns: clips per class and split, findings, what to type next."""
from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from vft.check.findings import NOTE, STOPS, Finding

MANY = 20  # classes that are shown
STYLES = {STOPS: "bold red", NOTE: "dim"}


def print_summary(result: dict[str, Any], found: Sequence[Finding], output: Path, file: TextIO | None = None) -> None:
  """Names of files are shown as Python writes them: control characters in them move no cursor."""
  console = Console(file=file or sys.stdout, highlight=False, soft_wrap=False)
  how = "every frame" if result["every_frame"] else "first, last and some frames"
  new, known = result["decoded_now"], result["files"] - result["decoded_now"]
  console.print(Text(f"\n{result['source']!r}: {result['usable']} of {result['files']} files can be used."),
                style="bold", soft_wrap=True)
  rate = new / max(result["seconds"], 0.1)
  console.print(Text((f"Decoded: {how} of {new} files, {rate:.0f} a second. " if new else "")
                     + (f"{known} are known from before." if known else "")))
  if result["simulated"]:
    console.print(Text("SIMULATED data.", style="bold yellow"))
  for task in next(iter(result["counts"].values()), {}).get("classes", {}):
    console.print(_classes(task, result))
  for warning in result["warnings"]:
    console.print(Text(f"Warning: {warning}", style="yellow"))
  if found:
    console.print(_findings(found))
  nothing = "" if found or result["stops_a_run"] else "Nothing is wrong. "
  console.print(Text(f"{nothing}Look at {output / 'check.html'}; all files: {output / 'files.csv'}"), soft_wrap=True)


def _classes(task: str, result: dict[str, Any]) -> Table:
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  table.add_column(Text(f"{task}: clips ({result['grouped_by']}s)"), overflow="fold")
  splits = result["counts"]
  for split in splits:
    table.add_column(split, justify="right", no_wrap=True)
  rows = list(next(iter(splits.values()))["classes"][task])
  for name in rows[:MANY]:
    table.add_row(Text(name if name.isprintable() else repr(name)), *(
        "{clips} ({groups})".format_map(splits[s]["classes"][task][name]) for s in splits))
  if len(rows) > MANY:
    table.add_row(f"and {len(rows) - MANY} more classes")
  table.add_section()
  table.add_row("all", *(f"{c['clips']} ({c['groups']})" for c in splits.values()), style="bold")
  return table


def _findings(found: Sequence[Finding]) -> Table:
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  table.add_column("count", justify="right", no_wrap=True)
  table.add_column("found", overflow="fold")
  for f in found:
    (paths, says), *_ = f.items
    first = f"{' = '.join(map(repr, paths[:2]))}: {says}"
    mark = " (stops a run)" if f.level == STOPS else ""
    table.add_row(str(f.count), Text.assemble((f"{f.title}{mark}", STYLES.get(f.level, "yellow")), f"\n{first}\n",
                                              (f.advice, "dim")))
  return table
