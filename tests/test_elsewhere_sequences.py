"""`vft evaluate` of runs whose answers are moments of procedures, or patients."""
import json
import sys

import pandas as pd
import pytest

from tests import tiny
from tests.test_sequences import phases_config
from vft import cli, elsewhere, predict
from vft import run as runs
from vft.data.sequences import Sequences
from vft.errors import DataError


def call(monkeypatch, *args):
  monkeypatch.setattr(sys, "argv", ["vft", "evaluate", *map(str, args)])
  return cli.main()


def test_the_phases_of_a_run_s_own_test_videos_are_as_good_elsewhere_and_each_site_has_its_figures(
    tmp_path, monkeypatch, capsys):
  config = phases_config(tmp_path, train=dict(batch=4, epochs=2), controls=(), eval=dict(bootstrap=50))
  internal, work = runs.run(config, tmp_path / "run"), tmp_path / "run"
  own = set(pd.read_csv(work / "predictions_test.csv").path)
  table = pd.read_csv(tmp_path / "phases.csv")
  table = table[table.path.isin(own)].assign(site=lambda t: t.path.map(dict(zip(sorted(own), "nsns", strict=False))))
  table.to_csv(tmp_path / "other.csv", index=False)
  options = (f"--source=csv:{tmp_path / 'other.csv'}", "--by=site")
  assert call(monkeypatch, work, *options, f"--output={tmp_path / 'out'}") == 0
  found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  for name, figure in internal["test"]["video"].items():
    assert found["test"]["video"][name]["value"] == pytest.approx(figure["value"], abs=1e-5), name
    assert found["difference"]["video"][name]["value"] == pytest.approx(0, abs=1e-5), name
  assert found["difference"]["video"].keys() == internal["test"]["video"].keys() > {"edit", "video/relaxed/jaccard"}
  assert all("edit" in figures["video"] for figures in found["by"]["site"].values()) and len(found["by"]["site"]) == 2
  said = capsys.readouterr().out
  assert "edit per video: " in said and "site n: accuracy per video " in said and " moments, 0 clips left out" in said
  assert (pd.read_csv(tmp_path / "out" / "predictions.csv").id == pd.read_csv(work / "predictions_test.csv").id).all()
  manifest = predict.load_kept(work)[0]
  assert isinstance(manifest, Sequences) and manifest.origin is not None
  several = pd.DataFrame({"site": ["n", "s"] * (len(manifest.origin.table) // 2)})
  with pytest.raises(DataError, match=r"--by=site: the rows of 'v\d.mp4' have the values .'n', 's'.\.\nExpected one"):
    elsewhere._of_rows(manifest, several)


def test_patients_are_evaluated_elsewhere_and_exported_as_arrays(tiny_csv, tmp_path, monkeypatch):
  config = tiny.make_config(tiny_csv, tmp_path, sequence=dict(unit="patient"), train=dict(batch=4, epochs=2))
  internal = runs.run(config, tmp_path / "run")
  theirs = pd.read_csv(tmp_path / "run" / "predictions_test.csv")
  table = pd.read_csv(tiny_csv)
  table = table[table.group.isin(theirs.id)]
  table["sex"] = ["fm"[int(str(group)[1:]) % 2] for group in table.group]
  table.to_csv(tmp_path / "other.csv", index=False)
  assert call(monkeypatch, tmp_path / "run", f"--source=csv:{tmp_path / 'other.csv'}", f"--root={tiny_csv.parent}",
              "--by=sex", f"--output={tmp_path / 'out'}") == 0
  found = json.loads((tmp_path / "out" / "evaluation.json").read_text())
  here, before = (r["test"]["patient"]["accuracy"]["value"] for r in (found, internal))
  assert here == pytest.approx(before)
  assert found["test"].keys() == {"patient"} and found["by"]["sex"].keys() == {"f", "m"}
  assert found["data"]["groups"]["test"] == len(theirs)
  monkeypatch.setattr(sys, "argv", ["vft", "export", str(tmp_path / "run"), str(tmp_path / "o.safetensors"),
                                    "--format=vft"])
  assert cli.main() == 0 and (tmp_path / "o.safetensors").is_file()
