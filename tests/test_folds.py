"""Cross-validation: stopped between folds and gone on, pooled, and each fold a run like any other."""
import json

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from vft import config as configs
from vft import evaluate, predict, run
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.errors import ConfigError, RunError


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  """(folder, result) of two folds; the first call ended after the first fold, the second call went on."""
  folder = tmp_path_factory.mktemp("folds")
  config = tiny.make_config(tiny_csv, folder / "config", data=dict(folds=2), train=dict(epochs=1, batch=4),
                            controls=("majority",))
  place = folder / "run"

  def written():
    files = (p for p in (place / "fold_1").rglob("*") if p.is_file() and p.name not in (".owner", "config.json"))
    return {p: p.stat().st_mtime_ns for p in files}
  with workdirs.locked(place / "fold_2"), pytest.raises(RunError, match="fold_2 is in use"):
    run.run(config, place)
  before = written()
  assert place / "fold_1/result.json" in before and not (place / "result.json").exists()
  result = run.run(config, place)
  assert written() == before  # a finished fold is only read
  return place, json.loads(json.dumps(result))


def test_every_clip_is_predicted_once_by_the_run_that_did_not_see_its_patient(finished):
  folder, result = finished
  whole = pd.read_csv(folder / "manifest.csv")
  pooled = pd.read_csv(folder / "predictions_test.csv")
  assert pooled.id.tolist() == whole.id.tolist() and result["data"]["clips"] == dict(fold_1=12, fold_2=12)
  for number in (1, 2):
    fold = pd.read_csv(folder / f"fold_{number}" / "manifest.csv")
    assert (whole.id[whole.split == f"fold_{number}"].tolist() == fold.id[fold.split == "test"].tolist()
            == pd.read_csv(folder / f"fold_{number}" / "predictions_test.csv").id.tolist())
    seen, tested = (set(fold.group[fold.split.isin(s)]) for s in (("train", "val"), ("test",)))
    assert not seen & tested and len(seen | tested) == 12


def test_the_headline_is_of_the_pooled_predictions_and_the_mean_of_the_folds(finished):
  folder, result = finished
  pooled = pd.read_csv(folder / "predictions_test.csv")
  accuracy = result["test"]["video"]["accuracy"]
  assert accuracy["value"] == pytest.approx((pooled.label == pooled.predicted).mean()) and accuracy["n"] == 12
  parts = [json.loads((folder / f"fold_{i}" / "result.json").read_text()) for i in (1, 2)]
  for level in ("video", "patient"):
    across = result["folds"]["test"][level]["auroc"]
    assert across["folds"] == [p["test"][level]["auroc"]["value"] for p in parts]
    assert across["value"] == pytest.approx(np.mean(across["folds"])) and across["low"] <= across["value"]
    at = result["folds"]["test_calibrated"][level]["recall/slow"]["folds"]
    assert at == [p["test_calibrated"][level]["recall/slow"]["value"] for p in parts]
    assert set(result["test_calibrated"][level]) == {"loss", "ece", "brier"}
  control = result["controls"]["majority"]
  gap = control["difference"]["video"]["accuracy"]["value"]
  assert gap == pytest.approx(accuracy["value"] - control["video"]["accuracy"]["value"])
  assert result["folds"]["controls"]["majority"]["difference"]["video"]["accuracy"]["n"] == 2
  assert result["cost"]["steps"] == sum(p["cost"]["steps"] for p in parts)


def test_a_fold_is_a_run_of_its_own_and_its_file_gives_its_figures_back(finished):
  folder, _ = finished
  config = configs.from_json((folder / "fold_2/config.json").read_text())
  manifest = manifests.load(folder / "fold_2/manifest.csv", config)
  again = evaluate.figures(predict.read_predictions(folder / "fold_2/predictions_test.csv", manifest), manifest, config)
  result = run.run(config, folder / "fold_2")
  assert again == result["test"] and config.data.folds == 0


def test_the_same_call_prints_both_tables_and_predict_asks_for_one_fold(finished, capsys):
  folder, result = finished
  assert run.run(configs.from_json((folder / "config.json").read_text()), folder) == result
  out = capsys.readouterr().out
  assert "Mean of 2 folds" in out and "fold_1 12, fold_2 12" in out and "by each fold" in out
  with pytest.raises(ConfigError, match=r"cross-validation, whose 2 models(.|\n)*fold_1"):
    predict.load_identity(folder)
