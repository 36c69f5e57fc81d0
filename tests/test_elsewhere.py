"""`vft evaluate`: the figures of a run on other data, the same on its own test, labels by name."""
import json
import shutil
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from vft import cli, stats
from vft import run as runs


@pytest.fixture(scope="module")
def work(tiny_csv, tmp_path_factory):
  folder = tmp_path_factory.mktemp("elsewhere")
  runs.run(tiny.make_config(tiny_csv, folder, train=dict(epochs=1)), folder / "run")
  return folder / "run"


def call(monkeypatch, *args):
  monkeypatch.setattr(sys, "argv", ["vft", "evaluate", *map(str, args)])
  return cli.main()


def test_on_its_own_test_clips_a_run_says_the_same_and_each_site_has_its_figures(work, tiny_csv, tmp_path, monkeypatch,
                                                                                 capsys, caplog):
  result = json.loads((work / "result.json").read_text())
  said = pd.read_csv(work / "predictions_test.csv")
  table = said[["path", "label", "group"]].assign(site=np.where(np.arange(len(said)) % 2, "north", "south"))
  table.to_csv(tmp_path / "other.csv", index=False)
  options = (f"--source=csv:{tmp_path / 'other.csv'}", f"--root={tiny_csv.parent}")
  assert call(monkeypatch, work, *options, "--by=site", f"--output={tmp_path / 'out'}") == 0
  found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  for level in ("video", "patient"):
    for name, figure in result["test"][level].items():
      assert found["test"][level][name]["value"] == pytest.approx(figure["value"], abs=1e-5), name
      assert found["difference"][level][name]["value"] == pytest.approx(0, abs=1e-5)
  sites = {site: figures["video"]["accuracy"]["value"] for site, figures in found["by"]["site"].items()}
  assert sites.keys() == {"north", "south"} and "flatter" not in caplog.text
  assert np.mean(list(sites.values())) == pytest.approx(result["test"]["video"]["accuracy"]["value"])
  theirs = pd.read_csv(tmp_path / "out" / "predictions.csv")
  np.testing.assert_allclose(theirs.p_fast, said.p_fast, atol=1e-5)
  said = capsys.readouterr().out
  assert "accuracy per patient: " in said and "Calibrated (temperature" in said
  assert call(monkeypatch, work, *options, f"--output={tmp_path / 'out'}") == 2
  assert "exists already" in capsys.readouterr().err
  table.assign(label="fsat").to_csv(tmp_path / "wrong.csv", index=False)
  assert call(monkeypatch, work, f"--source=csv:{tmp_path / 'wrong.csv'}", options[1]) == 3
  assert "'fsat' unknown; did you mean 'fast'" in capsys.readouterr().err


def test_a_run_without_calibration_has_its_figures_elsewhere(work, tiny_csv, tmp_path, monkeypatch, capsys):
  (shutil.copytree(work, tmp_path / "run") / "calibration.json").unlink()
  assert call(monkeypatch, tmp_path / "run", f"--source=csv:{tiny_csv}", f"--output={tmp_path / 'out'}") == 0
  assert "accuracy per patient: " in (said := capsys.readouterr().out) and "Calibrated" not in said
  assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["test_calibrated"] is None


def test_options_of_the_runs_own_kind_of_source_are_not_asked_of_another_kind(work, tiny_csv, tmp_path, monkeypatch,
                                                                                     caplog):
  run = shutil.copytree(work, tmp_path / "run")
  config = json.loads((run / "config.json").read_text())
  config["data"].update(source="pocus:/data/covid", options={"probe": "linear"})
  (run / "config.json").write_text(json.dumps(config))
  assert call(monkeypatch, run, f"--source=csv:{tiny_csv}", f"--output={tmp_path / 'out'}") == 0
  assert json.loads((tmp_path / "out" / "evaluation.json").read_text())["data"]["clips"]["test"] == 24
  learned = pd.read_csv(work / "manifest.csv").split.isin(("train", "val")).sum()
  assert f"{learned} of 24 files are copies of some that the run was trained or chosen on" in caplog.text


def test_the_difference_between_other_patients_is_as_wide_as_both_intervals_together():
  rng = np.random.default_rng(0)
  def made(right, n):
    y = rng.integers(0, 2, n)
    guess = np.where(rng.random(n) < right, y, 1 - y)
    return y, np.eye(2)[guess] * 0.8 + 0.1, np.arange(n).astype(str)
  a, b = made(0.9, 400), made(0.7, 300)
  found: dict[str, Any] = stats.bootstrap_between(a, b, classes=("n", "y"))["accuracy"]
  one: dict[str, Any]
  two: dict[str, Any]
  one, two = (stats.figures(*part, classes=("n", "y"))["accuracy"] for part in (a, b))
  assert found["value"] == pytest.approx(one["value"] - two["value"])
  width = np.hypot(one["high"] - one["low"], two["high"] - two["low"])
  assert found["high"] - found["low"] == pytest.approx(width, rel=0.1)
  assert found["low"] < 0.2 < found["high"]
