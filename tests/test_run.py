"""The whole run: kill -9 and go on, controls, features on and off, and every config of configs/."""
import json
import random
import signal
import time
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp
import pandas as pd
import pytest

from tests import tiny
from vft import calibration, metrics, run
from vft import config as configs
from vft.tasks import Task

LAYOUTS = [p.stem for p in (Path(__file__).parent / "layouts").glob("*.py")]  # their configs: data/test_layouts.py
OTHERS = ("default", "presets", "template")  # see test_template.py
CONFIGS = sorted(p.stem for p in configs.SHIPPED.glob("*.py") if p.stem not in (*LAYOUTS, *OTHERS))


def final_arrays(folder):
  newest = max((p for p in (folder / "checkpoints").glob("[0-9]*")), key=lambda p: int(p.name))
  return int(newest.name), ocp.StandardCheckpointer().restore(newest / "state")


@pytest.mark.fault("F35", "kill -9 at random moments of a run", "same final parameters and predictions")
@pytest.mark.filterwarnings("ignore:Sharding info not provided")
@pytest.mark.parametrize("planned", [1, pytest.param(20, marks=pytest.mark.long)])
def test_killed_run_equals_unbroken_run(tiny_csv, tmp_path, planned):
  path = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv, train=dict(epochs=10 + 10 * planned),
                                model=dict(dropout=0.2), features=dict(dir=str(tmp_path / "features")))
  whole, broken, moment = tmp_path / "whole", tmp_path / "broken", random.Random(0)
  run.run(configs.load(str(path)), whole)
  kills = 0
  for kills_left in range(planned, -1, -1):
    process = tiny.start_process("-m", "vft.main", f"--config={path}", f"--workdir={broken}", cwd=tmp_path)
    before = _steps(broken)
    while kills_left and process.poll() is None and _steps(broken) < before + 3:  # kills in mid-training
      time.sleep(0.02)
    if kills_left and process.poll() is None:
      time.sleep(moment.uniform(0, 0.3))
      process.kill()
    _, errors = process.communicate(timeout=120)
    if (broken / "result.json").exists():
      break
    assert process.returncode == -signal.SIGKILL, errors
    kills += 1
  assert (broken / "result.json").exists(), "never finished"
  assert kills == planned  # else the run is too short to be killed in mid-training
  (step, a), (step_broken, b) = final_arrays(whole), final_arrays(broken)
  assert step == step_broken
  jax.tree.map(np.testing.assert_array_equal, a, b)
  assert (whole / "predictions_test.csv").read_text() == (broken / "predictions_test.csv").read_text()
  lines = map(json.loads, (broken / "metrics.jsonl").read_text().splitlines())
  steps = [(line["split"], line["step"]) for line in lines]
  assert len(steps) == len(set(steps))  # no line twice


def _steps(folder):
  path = folder / "metrics.jsonl"
  return path.read_text().count('"train"') if path.exists() else 0


def test_controls_stand_beside_the_result_with_paired_differences(tiny_csv, tmp_path):
  config = tiny.make_config(tiny_csv, tmp_path, controls=("majority", "single_frame"))
  result = run.run(config, tmp_path / "run")
  assert set(result["controls"]) == {"majority", "single_frame"}
  for control in result["controls"].values():
    for level in ("video", "patient"):
      a, b = result["test"][level]["accuracy"]["value"], control[level]["accuracy"]["value"]
      gap = control["difference"][level]["accuracy"]
      assert gap["value"] == pytest.approx(a - b) and gap["low"] <= gap["value"] <= gap["high"]
  assert result["controls"]["majority"]["video"]["accuracy"]["value"] == 0.5
  table = pd.read_csv(tmp_path / "run" / "predictions_test.csv")
  assert result["test"]["video"]["accuracy"]["value"] == pytest.approx((table.label == table.predicted).mean())
  np.testing.assert_allclose(table[["p_fast", "p_slow"]].sum(axis=1), 1, atol=1e-5)
  kept = json.loads((tmp_path / "run" / "features.json").read_text())
  assert kept == {"clips": 24, "computed": 24, "bytes": 24 * 32 * 4}
  assert result["data"]["grouped_by"] == "patient" and not result["data"]["simulated"]
  check_calibration(tmp_path / "run", result)


def check_calibration(folder, result):
  """Chosen on validation videos alone; test figures of tempered videos, decided at the threshold, before pooling."""
  y, p, groups = zip(*((t.label == "slow", t[["p_fast", "p_slow"]].to_numpy(), t.group) for t in (
      pd.read_csv(folder / f"predictions_{s}.csv") for s in ("val", "test"))), strict=True)
  entry = json.loads((folder / "calibration.json").read_text())["label"]
  want = calibration.fit("single", y[0].astype(int), p[0])
  assert entry == result["calibration"]["label"] and entry["thresholds"] == pytest.approx(want["thresholds"])
  assert entry["temperature"] == pytest.approx(want["temperature"], rel=1e-5)  # found to 1e-6 of its log10
  assert entry["clips"] == 4
  tempered = calibration.apply(p[1], entry)
  for level, (probs, labels, _) in {"video": (tempered, y[1].astype(int), None),
                                    "patient": metrics.pool(tempered, y[1].astype(int), groups[1])}.items():
    want = metrics.figures("single", labels, probs, classes=("fast", "slow"), thresholds=calibration.thresholds(entry))
    got = result["test_calibrated"][level]
    assert {k: f["value"] for k, f in got.items()} == pytest.approx(want)
    assert all(f["low"] is None or f["low"] <= f["high"] for f in got.values())
  assert result["test_calibrated"]["video"]["ece"] != result["test"]["video"]["ece"]


@pytest.mark.parametrize("name", CONFIGS)
def test_every_config_is_built_locked_and_says_what_trains(name):
  config = configs.load(name)
  assert config.is_locked
  run.check(config)
  stages = tiny.stages_of(config, (Task(classes=("a", "b", "c")),))
  assert any(name.startswith("head/") for name in stages[-1].trained)


@pytest.mark.parametrize("name", [c if c == "medical" else pytest.param(c, marks=pytest.mark.long) for c in CONFIGS])
def test_every_config_trains(name, tmp_path):
  config = configs.load(name)
  config.data.update(source=f"{config.data.source}/tiny", tfds_dir=str(tmp_path / "tfds"), workers=0)
  config.model.variant = "tiny"
  config.init.update(weights="", keep_init=(), stats_clips=4)
  config.train.update(batch=12, epochs=1)
  config.eval.bootstrap = 20
  config.controls = ()
  config.features.dir = str(tmp_path / "features")
  result = run.run(config, tmp_path / "run")
  assert result["data"]["simulated"] and result["cost"]["steps"] == 1
  assert 0 <= result["test"]["patient"]["accuracy"]["value"] <= 1
