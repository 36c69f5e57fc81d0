"""The fault table: python -m tests.faults [pytest's arguments]. A line is a fault: how it was provoked, what came out.

A test says of which fault it is by @pytest.mark.fault(id, what was provoked, what came out); the last column stands
here only if the test has just passed. `--all` runs the long ones, too.
"""
import re
from collections.abc import Iterator
from typing import Any

import pytest

# Numbers of the catalogue of faults: of video files, data sets, numbers, checkpoints, processes, and of security.
ROWS = (*(f"F{i}" for i in range(1, 40)), *(f"F{i}" for i in range(44, 71)),
        "F17b", "F28b", "F28c", "F32b", "F39b", "F39c", "F39d", "F39e", "F39f", "F39g", "F39h", "F39i", "F39j")


def order(number: str) -> tuple[int, str]:
  """Sorts F9 before F10, and F17b after F17."""
  found = re.fullmatch(r"F(\d+)(\w*)", number)
  assert found, f"{number!r} is no number of a fault, such as F17b"
  return int(found[1]), found[2]


def pytest_configure(config: pytest.Config) -> None:
  """A hook of conftest.py: the mark is known."""
  config.addinivalue_line("markers", "fault(id, provoked, came_out): a row of what python -m tests.faults prints")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
  """A hook of conftest.py: what is marked goes with the reports, also from another process."""
  for item in items:
    item.user_properties += [("fault", mark.args) for mark in item.iter_markers("fault")]


class Table:
  """A plugin of pytest that gathers what became of the marked tests."""

  def __init__(self):
    self.rows: dict[tuple[str, str, str], list[str]] = {}  # (id, provoked, came out) -> outcomes of its tests

  def pytest_runtest_logreport(self, report: Any) -> None:
    if report.when == "call" or report.outcome != "passed":  # a fault of a fixture counts, too
      for kind, row in report.user_properties:
        if kind == "fault":
          self.rows.setdefault(tuple(row), []).append(report.outcome)

  def lines(self) -> Iterator[str]:
    """One line a row, in the order of the catalogue."""
    have = {number for number, *_ in self.rows}
    rows = [(number, provoked, came_out(text, outcomes)) for (number, provoked, text), outcomes in self.rows.items()]
    rows += [(number, "no test", "MISSING") for number in ROWS if number not in have]
    for number, provoked, text in sorted(rows, key=lambda row: (order(row[0]), row)):
      yield f"{number:5} {provoked:58} {text}"


def came_out(text: str, outcomes: list[str]) -> str:
  """What a row's tests have shown: `text` if all passed."""
  bad = [o for o in outcomes if o == "failed"]
  if bad:
    return f"FAILED: {len(bad)} of {len(outcomes)} tests; expected: {text}"
  return text if "passed" in outcomes else f"SKIPPED; expected: {text}"


def main(arguments: list[str]) -> int:
  """Runs the marked tests and prints the table; returns pytest's exit code."""
  marked = "fault" if "--all" in arguments else "fault and not long"
  table = Table()
  code = pytest.main(["-m", marked, *(a for a in arguments if a != "--all")], plugins=[table])
  print("\n".join(table.lines()))
  return int(code)
