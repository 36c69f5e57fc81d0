"""Data flows one way: the levels of DESIGN, least first; a module imports lower levels and its own folder only."""
import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LEVELS = (
    ("errors", "goodput", "launch", "pages", "progress"),
    ("trees", "config", "tasks", "distributed", "storage", "shards"),
    ("preprocess", "losses", "metrics", "sharding", "lora", "liveness", "owner"),
    ("stats", "calibration", "conformal", "mirror"),
    ("data", "models", "convert"),
    ("checkpoint", "writer", "optim", "forward", "objective", "workdir", "hparams"),
    ("tables", "weights", "check", "hosts"),
    ("train", "evaluate", "features", "memory", "stages"),
    ("saver", "controls", "coverage", "sequences", "head_file"),
    ("startup", "hooks"),
    ("predict", "batches", "results", "grid"),
    ("folds", "grid_report", "export", "report", "elsewhere", "runs"),
    ("run", "probe"),
    ("main", "feature_pass"),
    ("sweep", "explain", "shortcut", "new", "contact_sheet"),
    ("cli",),
)
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
TOP = {"README.md", "LICENSE", "pyproject.toml", "vft", "configs", "tests", "launch"}
# Package -> the modules that know it; `convert` only reads the folders that other projects wrote with orbax.
ONLY = {"orbax": {"checkpoint", "convert"}, "tensorboardX": {"writer"}, "optuna": {"sweep"}, "fsspec": {"storage"}}


def imported(source: str) -> set[str]:
  """Full names of what a module imports anywhere in it: "vft.data.readers", "orbax.checkpoint"."""
  found = set()
  for node in ast.walk(ast.parse(source)):
    if isinstance(node, ast.Import):
      found |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert not node.level, f"line {node.lineno}: a relative import hides the level of its module"
      found |= {f"{node.module}.{alias.name}" for alias in node.names}
  return found


def steps_back(name: str, source: str) -> list[str]:
  """The imports of vft's module or folder `name` that are not below it."""
  uses = {full.split(".")[1] for full in imported(source) if full.startswith("vft.")} - {name}
  return sorted(use for use in uses if LEVEL.get(use, len(LEVELS)) >= LEVEL[name])


MODULES = [p for p in sorted((ROOT / "vft").rglob("*.py")) if p != ROOT / "vft/__init__.py"]


def place(path: Path) -> str:
  """ "train" of vft/train.py, "data" of vft/data/sources/paths.py."""
  return path.relative_to(ROOT / "vft").parts[0].removesuffix(".py")


def test_every_module_stands_in_the_table_and_the_table_names_no_other():
  found = {place(p) for p in MODULES}
  assert found - set(LEVEL) == set(), "give these a level"
  assert set(LEVEL) - found == set(), "these are gone"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_module_imports_only_what_stands_before_it(path):
  assert steps_back(place(path), path.read_text()) == []


def test_a_step_back_is_found_wherever_it_hides():
  source = "if TYPE_CHECKING:\n  from vft.train import fit\ndef f():\n  import vft.run\n  from vft import errors, trees"
  assert steps_back("optim", source) == ["run", "train"]
  assert steps_back("trees", "from vft import config") == ["config"]  # the same level
  assert steps_back("data", "from vft.data import readers") == []


@pytest.mark.parametrize("package", ONLY)
def test_few_modules_know_a_package(package):
  users = {place(p) for p in MODULES if any(n.split(".")[0] == package for n in imported(p.read_text()))}
  assert users == ONLY[package]


def test_the_library_knows_neither_its_configs_nor_its_tests():
  for path in MODULES:
    assert {n.split(".")[0] for n in imported(path.read_text())}.isdisjoint({"configs", "tests"}), path


def test_nothing_else_lies_at_the_top():
  if not (ROOT / ".git").exists():
    pytest.skip("not a git checkout")
  files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
  top = {f.split("/")[0] for f in files}
  assert {t for t in top if not t.startswith(".")} - TOP == set()
