"""A whole run with four tasks of four kinds, some labels missing: figures, predictions and `vft predict`."""
import csv
import json
import sys

import pandas as pd
import pytest

from tests import tiny
from vft import cli, hooks, predict, run
from vft.errors import ConfigError

TASKS = dict(speed=dict(kind="single"), ef=dict(kind="regression", column="EF"), grade=dict(kind="ordinal"),
             tags=dict(kind="multi"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  folder = tmp_path_factory.mktemp("tasks")
  tiny.make_csv(folder)
  with (folder / "clips.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  for i, row in enumerate(rows):
    fast = row.pop("label") == "fast"
    row.update(speed="fast" if fast else "slow", EF="" if i % 5 == 4 else str(60 + i % 3 if fast else 40 + i % 3),
               grade=str(2 * fast), tags=("a|b" if fast else "-") if i % 7 else "")
  rows[0]["grade"] = rows[2]["grade"] = rows[10]["grade"] = "1"
  pd.DataFrame(rows).to_csv(folder / "clips.csv", index=False)
  config = tiny.make_config(folder / "clips.csv", folder / "config", train=dict(epochs=1, select="ef/mae"),
                            controls=("majority",))
  config.tasks = TASKS
  return folder / "run", run.run(config, folder / "run"), folder


def test_every_task_has_its_figures_with_intervals(finished):
  _, result, _ = finished
  video = result["test"]["video"]
  for name in ("speed/accuracy", "ef/mae", "ef/r2", "grade/quadratic_kappa", "tags/map"):
    assert {"value", "low", "high", "n"} == set(video[name]), name
  assert "ef/mae" in result["controls"]["majority"]["difference"]["video"]
  assert set(result["confusion"]["test"]["video"]) == {"speed", "grade"}
  (ef,) = (t for t in result["data"]["tasks"] if t["kind"] == "regression")
  assert 40 < ef["mean"] < 62 and ef["std"] > 5


def test_validation_gives_patients_under_the_names_of_the_result(finished):
  folder, result, _ = finished
  lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
  (val,) = (line for line in lines if line["split"] == "val")
  wanted = {k: f["value"] for k, f in result["val"]["patient"].items()}
  assert "speed/auroc" in wanted and {k: val[f"patient/{k}"] for k in wanted} == pytest.approx(wanted)
  with pytest.raises(ConfigError, match=r"does not give; did you mean 'patient/"):
    hooks.check_select(val, "patient/speed/auroc1")


def test_predictions_hold_truth_and_prediction_of_each_task(finished):
  folder, _, _ = finished
  table = pd.read_csv(folder / "predictions_test.csv")
  assert {"speed", "ef", "grade", "tags", "speed_predicted", "ef_predicted", "grade_predicted", "tags_predicted",
          "speed_p_fast", "tags_p_a", "grade_p_2"} <= set(table.columns)
  assert table.ef_predicted.between(10, 130).all()  # in the unit of the labels, from the mean on


def test_a_video_is_predicted_with_all_tasks(finished, tmp_path):
  folder, _, data = finished
  predict.predict_files(str(folder), [str(data / "p0_0.mp4")], str(tmp_path / "out.csv"))
  row = pd.read_csv(tmp_path / "out.csv").iloc[0]
  assert row["speed_predicted"] in ("fast", "slow") and 10 < row["ef_predicted"] < 130


def test_figures_elsewhere_are_of_the_tasks_that_have_labels_there(finished, monkeypatch, caplog):
  folder, result, data = finished
  pd.read_csv(data / "clips.csv").assign(EF="").to_csv(data / "unmeasured.csv", index=False)
  monkeypatch.setattr(sys, "argv", ["vft", "evaluate", str(folder), "--by=grade",
                                    f"--source=csv:{data / 'unmeasured.csv'}"])
  assert cli.main() == 0
  found = json.loads((folder / "evaluations/unmeasured/evaluation.json").read_text())
  without = {name for name in result["test"]["video"] if not name.startswith("ef/")}
  assert set(found["test"]["video"]) == set(found["difference"]["video"]) == without
  assert "no label of ef" in caplog.text and "ef_predicted" in (
      folder / "evaluations/unmeasured/predictions.csv").read_text()
