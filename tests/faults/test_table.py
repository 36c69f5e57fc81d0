"""The fault table: every row of the catalogue has a test, and says what has become of its tests."""
import ast
import re
from pathlib import Path

import pytest

from tests import faults

MARKED = [(path.name, [getattr(a, "value", None) for a in node.args])
          for path in sorted(Path(__file__).parent.parent.rglob("test_*.py")) if path.name != "test_table.py"
          for node in ast.walk(ast.parse(path.read_text()))
          if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault"]


def test_a_mark_says_what_was_provoked_and_what_came_out():
  for name, args in MARKED:
    assert len(args) == 3 and all(isinstance(a, str) and a for a in args) and len(args[1]) <= 58, (name, args)


def test_every_fault_of_the_catalogue_has_a_test():
  assert {args[0] for _, args in MARKED} == set(faults.ROWS)


TESTS = '''import pytest

@pytest.mark.fault("F2", "a", "well")
@pytest.mark.parametrize("x", [1, 2])
def test_a(x):
  assert x < 3

@pytest.mark.fault("F10", "b", "well")
@pytest.mark.parametrize("x", [1, 2])
def test_b(x):
  assert x < 2

@pytest.mark.fault("F3", "c", "well")
def test_c(broken):
  pass

@pytest.mark.fault("F4", "d", "well")
def test_d():
  pytest.skip("no tool")
'''


@pytest.mark.parametrize("more", [[], ["-p", "xdist", "-n", "1"]], ids=["here", "in another process"])
def test_the_table_says_what_has_become_of_the_tests(tmp_path, capfd, more):
  (tmp_path / "test_some.py").write_text(TESTS)
  (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = long\n")
  (tmp_path / "conftest.py").write_text("from tests.faults import pytest_collection_modifyitems, pytest_configure\n")
  assert faults.main(["-q", "-p", "no:cacheprovider", f"--rootdir={tmp_path}", f"--confcutdir={tmp_path}", "-c",
                      str(tmp_path / "pytest.ini"), str(tmp_path), *more]) == 1
  said = [line.split(None, 1) for line in capfd.readouterr().out.splitlines() if re.match(r"F\d", line)]
  said = {number: " ".join(text.split()) for number, text in said}
  assert said["F2"] == "a well" and said["F10"] == "b FAILED: 1 of 2 tests; expected: well"
  assert said["F3"] == "c FAILED: 1 of 1 tests; expected: well" and said["F4"] == "d SKIPPED; expected: well"
  assert said["F5"] == "no test MISSING" and list(said)[:4] == ["F1", "F2", "F3", "F4"]
