"""`vft runs DIR`: real folders of runs, finished, stopped and in use."""
import json
import sys

import pandas as pd

from tests import tiny
from vft import cli
from vft import workdir as workdirs


def test_runs_are_listed_with_state_figure_and_what_differs(tmp_path, monkeypatch, capsys):
  for name, lr in (("one", 1e-2), ("two", 1e-4), ("three", 1e-4)):
    config = tiny.make_config(tmp_path / "clips.csv", tmp_path / "config")
    config.groups.head.lr = lr
    (tmp_path / "runs" / name).mkdir(parents=True)
    workdirs.write_config(tmp_path / "runs" / name / "config.json", config)
  figure = {"value": 0.91, "low": 0.86, "high": 0.95, "n": 20}
  (tmp_path / "runs/one/result.json").write_text(json.dumps({
      "test": {"video": {"accuracy": figure, "recall/x": figure}},
      "data": {"tasks": [{"name": "label", "kind": "single"}]},
      "cost": {"total_s": 75}}))
  (tmp_path / "runs/two/metrics.jsonl").write_text('{"step": 6, "split": "train", "loss": 1.0}\n')
  monkeypatch.setenv("COLUMNS", "160")
  monkeypatch.setattr(sys, "argv", ["vft", "runs", str(tmp_path / "runs")])
  with workdirs.locked(tmp_path / "runs/three"):
    assert cli.main() == 0
  out = capsys.readouterr().out
  rows = {line.split()[0]: line for line in out.splitlines() if "groups" in line}
  for name, words in (("one", ("done", "0.91 [0.86, 0.95]", "1 min 15 s", "groups.head.lr=0.01")),
                      ("two", ("stopped, step 6", "groups.head.lr=0.0001")), ("three", ("running, step 0",))):
    for word in words:
      assert word in rows[name], out
  monkeypatch.setattr(sys, "argv", ["vft", "runs", str(tmp_path / "runs"), f"--csv={tmp_path}/runs.csv"])
  assert cli.main() == 0
  written = pd.read_csv(tmp_path / "runs.csv").set_index("run")
  assert written.columns.tolist() == ["state", "total_s", "test/video/accuracy", "test/video/accuracy/low",
                                      "test/video/accuracy/high", "test/video/recall/x", "test/video/recall/x/low",
                                      "test/video/recall/x/high", "config.groups.head.lr"]
  assert written.loc["one"].tolist() == ["done", 75, 0.91, 0.86, 0.95, 0.91, 0.86, 0.95, 0.01]
  assert written.loc["two", "config.groups.head.lr"] == 0.0001 and written.loc["two"].isna().sum() == 7
  capsys.readouterr()
  monkeypatch.setattr(sys, "argv", ["vft", "runs", str(tmp_path / "runs"), "--csv", "-"])
  assert cli.main() == 0
  assert capsys.readouterr().out == (tmp_path / "runs.csv").read_text()
  monkeypatch.setattr(sys, "argv", ["vft", "runs", str(tmp_path / "config")])
  assert cli.main() == 2
  assert "holds no run" in capsys.readouterr().err
