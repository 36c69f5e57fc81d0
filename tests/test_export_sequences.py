"""`vft export` of runs over procedures and patients: a trunk and a head that say what the run says, without vft."""
import json
import types
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.test_export import alone, call
from tests.test_sequences import phases_config
from vft import config as configs
from vft import predict
from vft import run as runs
from vft.errors import RunError
from vft.export import card, sequence, stablehlo


@pytest.fixture(scope="module")
def phases(tmp_path_factory):
  """A finished run over procedures, whose head is the one with attention; its videos lie beside it."""
  folder = tmp_path_factory.mktemp("phases")
  config = phases_config(folder, train=dict(batch=4, epochs=4), eval=dict(bootstrap=20),
                         model=dict(head="transformer", hidden=(16,), depth=1))
  runs.run(config, folder / "run")
  return folder / "run"


@pytest.fixture(scope="module")
def patients(tiny_csv, tmp_path_factory):
  """A finished run over patients, two views of each of their videos, pooled by attention."""
  folder = tmp_path_factory.mktemp("patients")
  config = tiny.make_config(tiny_csv, folder, sequence=dict(unit="patient"), model=dict(temporal="attention"),
                            train=dict(batch=4, epochs=2), eval=dict(views=2, bootstrap=20))
  runs.run(config, folder / "run")
  return folder / "run"


def equal(said, ours, classes):
  """Lines of JSON and a table of `vft predict`."""
  for kind, prefix in (("probabilities", "p_"), ("calibrated", "calibrated_")):
    np.testing.assert_allclose([s[kind] for s in said], ours[[prefix + c for c in classes]], atol=1e-4)


def test_the_example_says_of_each_moment_what_vft_predicts(phases, tmp_path, monkeypatch, capsys):
  out, videos = tmp_path / "out", [str(phases.parent / f"v{i}.mp4") for i in (0, 1)]
  assert call(monkeypatch, phases, out) == 0
  told = capsys.readouterr().out
  assert "two programs, trunk and head, for cpu, cuda, tpu. Equal to the run within" in told
  assert " on 32 clips of 2 procedures of the test split." in told
  said = alone(out, videos)
  predict.predict_files(str(phases), videos, str(tmp_path / "ours.csv"))
  ours = pd.read_csv(tmp_path / "ours.csv")
  equal(said, ours, ("first", "second"))
  np.testing.assert_allclose([(s["start_s"], s["end_s"]) for s in said], ours[["start_s", "end_s"]], atol=1e-3)
  assert [s["path"] for s in said] == ours.path.tolist() and len(said) == 32
  assert json.loads((out / "export.json").read_text())["sequence"] == dict(
      unit="video", fps=2, before_s=0.25, after_s=0.125)
  assert "2 clips a second, each ending at its moment, are a procedure" in (out / "README.md").read_text()


def test_a_moment_lasts_as_long_as_in_the_run(tmp_path):
  config, pixels = configs.load("default"), types.SimpleNamespace(mean=(0.0,), std=(1.0,))
  config.data.update(sampling="duration", duration_s=0.75, num_frames=3, fps=9.0)
  config.sequence.unit = "video"
  begin: Any = types.SimpleNamespace(pixels=pixels)
  assert card.about(config, (), begin, tmp_path)["sequence"] == dict(unit="video", fps=1.0, before_s=0.5, after_s=0.125)


def test_the_example_says_of_a_patient_s_files_what_vft_predicts(patients, tiny_csv, tmp_path, monkeypatch, capsys):
  out, videos = tmp_path / "out", [str(tiny_csv.parent / f"p0_{i}.mp4") for i in (0, 1)]
  for kind in ("onnx", "safetensors"):  # they say what to do instead
    assert call(monkeypatch, patients, out, f"--format={kind}") == 2 and not out.exists()
    assert "StableHLO holds two programs, trunk and head: vft export " in capsys.readouterr().err
  assert call(monkeypatch, patients, out) == 0
  predict.predict_files(str(patients), videos, str(tmp_path / "ours.csv"))
  equal(alone(out, videos), pd.read_csv(tmp_path / "ours.csv"), tiny.CLASSES)
  assert "2 views of each video of a patient are S clips" in (out / "README.md").read_text()


def test_a_head_that_says_something_else_is_refused_and_noise_serves_where_the_videos_are_away(patients, tmp_path):
  config, tasks, begin = predict.load_run(patients)
  config = config.copy_and_resolve_references()
  config.data.source = "csv:/gone/clips.csv"
  seen, what = sequence.find_clips(config, patients)
  assert [x.shape for x in seen] == [(16, 8, 64, 64, 3)] and what.startswith("a patient of 16 clips of noise")
  made = sequence.make(config, tasks, begin)
  made.weights["head/label/bias"] = made.weights["head/label/bias"] + np.float32([0, 1e-3])
  stablehlo.write(tmp_path, made, begin)
  with pytest.raises(RunError, match=r"The export differs from the run by 0\.000\d+ in 'label'"):
    sequence.check(tasks, begin, seen, stablehlo.run(tmp_path, made, begin, seen))
