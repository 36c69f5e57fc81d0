"""The examples in docstrings of what README and notebooks use: each one runs, on real clips and a finished run."""
import contextlib
import doctest
import importlib
import io
import pkgutil
import shutil

import pytest

import vft
from tests import tiny
from vft import run

# What a reader meets first; more examples may stand anywhere and are run as well.
PUBLIC = ("config.files.load", "config.files.difference", "config.files.fields", "data.manifest.make_manifest",
          "models.make", "metrics.figures", "stats.bootstrap.figures", "run.run", "probe.probe",
          "predict.command.predict_files", "runs.find", "report.command.write", "contact_sheet.command.inspect",
          "new.command.new", "data.sampling.clip_times", "trees.assign")


def examples() -> list[doctest.DocTest]:
  """Of all modules of vft whose text has one."""
  found = []
  for module in pkgutil.walk_packages(vft.__path__, "vft."):
    spec = importlib.util.find_spec(module.name)
    if spec and spec.loader and ">>> " in (spec.loader.get_source(module.name) or ""):
      found += [t for t in doctest.DocTestFinder().find(importlib.import_module(module.name)) if t.examples]
  return found


EXAMPLES = examples()


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  """A folder with clips.csv, its videos and a finished run in run/."""
  folder = tmp_path_factory.mktemp("examples")
  shutil.copytree(tiny_csv.parent, folder, dirs_exist_ok=True)
  with contextlib.redirect_stdout(io.StringIO()):
    run.run(config_of(folder), folder / "run")
  return folder


def config_of(folder):
  return tiny.make_config(folder / "clips.csv", folder / "config", train=dict(epochs=1),
                          probe=dict(lr=(1e-3, 1e-2), wd=(0.0,)))


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda t: t.name.removeprefix("vft."))
def test_an_example_shows_what_it_says(example, request, monkeypatch):
  if any(word in e.source for e in example.examples for word in ("folder", "config)", '"run"')):
    folder = request.getfixturevalue("finished")
    monkeypatch.chdir(folder)
    example.globs.update(folder=folder, config=config_of(folder))
  said = io.StringIO()
  runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
  runner.run(example, out=said.write)
  assert not runner.failures, said.getvalue()


def test_what_a_reader_meets_first_has_an_example():
  assert {f"vft.{name}" for name in PUBLIC} <= {t.name for t in EXAMPLES}
