"""`vft runs DIR`: the runs in a folder as a table: state, test figure, time, and what differs in their configs."""
import contextlib
import csv
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import filelock
from rich import box
from rich.table import Table

from vft import config as configs
from vft import tables
from vft import workdir as workdirs
from vft.errors import ConfigError
from vft.progress import duration
from vft.writer import read_metrics


class Run(NamedTuple):
  """A folder with a config.json. `fields`: those in which the runs differ."""
  name: str
  state: str
  result: dict[str, Any]
  fields: dict[str, Any]


def find(folder: Path) -> list[Run]:
  """The runs under `folder`, without their controls and folds. Raises ConfigError where there is none.

  >>> [(found.state, found.result["cost"]["steps"]) for found in find(folder) if found.name == "run"]
  [('done', 2)]
  """
  places = [p.parent for p in sorted(folder.rglob("config.json")) if not _is_part(p.parent, folder)]
  if not places:
    raise ConfigError(f"{folder} holds no run: no config.json in it or below.\n"
                      "Give the folder above your runs, such as: vft runs runs")
  fields = [configs.fields(configs.from_json(configs.to_json(workdirs.load_config(p)))) for p in places]
  moves = {line.partition(":")[0] for p in places[1:]
           for line in configs.difference(workdirs.load_config(places[0]), workdirs.load_config(p))}
  return [Run(str(p.relative_to(folder)), _state(p, result := _result(p)), result,
              {name: found.get(name, "–") for name in sorted(moves)}) for p, found in zip(places, fields, strict=True)]


def show(folder: Path, file: TextIO | None = None) -> None:
  """Prints a row for each run. Raises ConfigError where there is none."""
  table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
  for column in ("run", "state", "test", "time", "what differs"):
    table.add_column(column, overflow="fold")
  for found in find(folder):
    cost = found.result.get("cost", {}).get("total_s")
    table.add_row(found.name, found.state, _figure(found.result), "" if cost is None else duration(cost),
                  ", ".join(f"{name}={value}" for name, value in found.fields.items()))
  tables.make_console(file or sys.stdout).print(table)


def write_csv(folder: Path, where: str) -> None:
  """The same with a column for each figure and its interval and for each field, for a spreadsheet; "-" prints it."""
  rows = []
  for found in find(folder):
    row = {"run": found.name, "state": found.state, "total_s": found.result.get("cost", {}).get("total_s", "")}
    for level, figures in (found.result.get("test") or {}).items():
      for key, entry in (figures or {}).items():
        row |= {f"test/{level}/{key}{end}": entry.get(part) for end, part in (
            ("", "value"), ("/low", "low"), ("/high", "high"))}
    rows.append(row | {f"config.{name}": value for name, value in found.fields.items()})
  columns = sorted(dict.fromkeys(c for row in rows for c in row), key=lambda c: c.startswith("config."))
  with contextlib.nullcontext(sys.stdout) if where == "-" else open(where, "w", encoding="utf-8", newline="") as out:
    table = csv.DictWriter(out, columns, restval="", lineterminator="\n")
    table.writeheader()
    table.writerows(rows)


def _is_part(place: Path, folder: Path) -> bool:
  """Whether a run lies inside another one below `folder`."""
  inside = [p for p in place.parents if p == folder or folder in p.parents]
  return any((p / "config.json").is_file() for p in inside)


def _result(place: Path) -> dict[str, Any]:
  path = place / "result.json"
  return json.loads(path.read_text()) if path.is_file() else {}


def _state(place: Path, result: Mapping[str, Any]) -> str:
  if result:
    return "done"
  path = place / "metrics.jsonl"
  step = max((line["step"] for line in read_metrics(path)), default=0) if path.is_file() else 0
  return f"{'running' if _is_held(place / '.lock') else 'stopped'}, step {step}"


def _is_held(lock: Path) -> bool:
  if not lock.is_file():
    return False
  try:
    with filelock.FileLock(lock, timeout=0):
      return False
  except (filelock.Timeout, OSError):
    return True


def _figure(result: Mapping[str, Any]) -> str:
  """The first figure with its interval, at the last level."""
  test = result.get("test") or {}
  level = next((level for level in reversed(tables.LEVELS) if test.get(level)), None)
  if level is None:
    return ""
  key, words = next(((k, w) for k, w in tables.headline(result["data"]).items() if k in test[level]), ("", ""))
  return f"{words} per {level} {tables.interval(test[level].get(key), 2)}"
