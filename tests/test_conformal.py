"""Conformal sets against their guarantee over many draws, and as users meet them."""
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from configs import default
from tests import tiny
from vft import conformal, coverage, evaluate, predict, run
from vft.data import manifest as manifests
from vft.data.sources.folder import FolderSource
from vft.errors import ConfigError, DataError
from vft.tasks import Task


def clips_of(rng, patients, kind="single", k=4):
  """Labels, outputs and groups of 1 to 6 clips each of patients who are unlike each other."""
  counts = rng.integers(1, 7, patients)
  group = np.repeat(np.arange(patients), counts)
  shift = rng.normal(0, 2, (patients, k))[group]
  logits = shift + rng.normal(0, 1, (len(group), k))
  p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  if kind == "regression":
    return shift[:, 0] + rng.normal(0, 1, len(group)), p[:, :1], group
  y = np.array([rng.choice(k, p=np.exp(s / 2) / np.exp(s / 2).sum()) for s in logits])
  return y, p.astype(np.float32), group


@pytest.mark.parametrize("kind", conformal.KINDS)
@pytest.mark.parametrize(("share", "patients"), [(0.9, 12), (0.8, 19)])
def test_a_clip_of_a_new_patient_is_covered_as_asked(kind, share, patients):
  rng, covered = np.random.default_rng(0), []
  for _ in range(300):
    entry = conformal.fit(kind, *clips_of(rng, patients, kind), share)
    y, out, group = clips_of(rng, 20, kind)
    inside, _ = conformal.covered(y, out, entry)
    covered.append(np.mean([inside[group == g].mean() for g in range(20)]))
  error = 3 * np.std(covered) / np.sqrt(len(covered))
  assert share - error <= np.mean(covered) <= share + 1 / patients + error


def test_with_a_clip_each_it_is_the_quantile_of_n_plus_one():
  y, p, _ = clips_of(np.random.default_rng(1), 30)
  score = np.sort(1 - p[np.arange(len(y)), y].astype(float))
  entry = conformal.fit("single", y, p, np.arange(len(y)), 0.9)
  assert entry["quantile"] == score[int(np.ceil(0.9 * (len(y) + 1))) - 1] and entry["patients"] == len(y)


def test_clips_of_one_patient_weigh_as_one():
  y, p, group = clips_of(np.random.default_rng(2), 15)
  again = np.r_[np.arange(len(y)), *[np.flatnonzero(group == 3)] * 20]
  assert conformal.fit("single", y, p, group, 0.9) == conformal.fit("single", y[again], p[again], group[again], 0.9)


def test_sets_of_grades_have_no_gaps_and_no_set_is_empty():
  rng = np.random.default_rng(3)
  p = rng.dirichlet(np.full(5, 0.5), 200)
  for kind in ("single", "ordinal"):
    for quantile in (-1.0, 0.3, 0.9):
      found = conformal.sets(p, dict(kind=kind, quantile=quantile))
      assert found[np.arange(200), p.argmax(1)].all()
      if kind == "ordinal":
        assert (np.abs(np.diff(np.pad(found.astype(int), [(0, 0), (1, 1)]), axis=1)).sum(1) == 2).all()
  np.testing.assert_allclose(conformal.scores("ordinal", [[0.1, 0.5, 0.2, 0.15, 0.05]]), [[0.85, 0, 0.5, 0.7, 0.95]])


def test_a_task_with_too_few_patients_takes_no_sets_from_the_others():
  cells = [{"id": str(i), "label": "ab"[i % 2], "ef": "50" if i < 3 else "", "group": str(i)} for i in range(20)]
  table = pd.DataFrame([{**dict.fromkeys(manifests.COLUMNS, ""), "row": i, **row} for i, row in enumerate(cells)])
  tasks = Task(classes=("a", "b")), Task("ef", "regression")
  manifest = manifests.Manifest(table, tasks, "video", FolderSource("/", follow_links=True))
  said = evaluate.Predictions(np.arange(20), {"label": np.full((20, 2), 0.5), "ef": np.full((20, 1), 50.0)})
  found = coverage.usual((said, manifest), (said, manifest), default.get_config())
  assert [(share, *entries) for share, entries in found.items()] == [(s, "label") for s in ("0.8", "0.9", "0.95")]


def test_too_few_patients_are_told_how_many_are_needed():
  y, p, group = clips_of(np.random.default_rng(4), 18)
  with pytest.raises(DataError, match=r"(?s)0.95 needs 19 labelled validation patients; the run has 18.*=0.94\."):
    conformal.fit("single", y, p, group, 0.95)
  assert conformal.fit("single", y, p, group, 0.94)["patients"] == 18
  with pytest.raises(ConfigError, match="many labels"):
    conformal.fit("multi", np.zeros((3, 2)), np.zeros((3, 2)), [0, 1, 2], 0.9)
  with pytest.raises(ConfigError, match="between 0 and 1, such as"):
    conformal.fit("single", y, p, group, 90)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
  """A run with 10 patients of validation."""
  folder = tmp_path_factory.mktemp("covered")
  config = tiny.make_config(tiny.make_csv(folder, patients=24), folder)
  config.data.split = (0.25, 0.4, 0.35)
  config.train.update(epochs=1, batch=4)
  return folder / "run", run.run(config, folder / "run"), folder


def test_the_result_has_the_coverage_on_test(finished):
  folder, result, _ = finished
  assert set(result["conformal"]) == {"0.8", "0.9"}  # too few for 0.95
  entry = result["conformal"]["0.9"]["label"]["video"]
  val, test = (pd.read_csv(folder / f"predictions_{s}.csv") for s in ("val", "test"))
  def truth(t):
    return t[["p_fast", "p_slow"]].to_numpy()[np.arange(len(t)), (t.label == "slow").astype(int)]
  score = np.sort(1 - truth(val))  # two clips each
  n = val.group.nunique()
  assert entry["patients"] == n and entry["quantile"] == pytest.approx(score[int(np.ceil(0.9 * (n + 1) * 2)) - 1])
  inside = 1 - truth(test) <= entry["quantile"] + 1e-9
  assert entry["test"]["coverage"]["value"] == pytest.approx(inside.mean())  # two clips each
  assert json.loads((folder / "result.json").read_text())["conformal"] == result["conformal"]
  assert set(result["conformal"]["0.9"]["label"]) == {"video", "patient"}


def test_predict_adds_the_set_and_says_what_it_covered(finished, tmp_path, capsys):
  folder, result, data = finished
  videos = [str(data / f"p{i}_0.mp4") for i in range(4)]
  predict.predict_files(str(folder), videos, str(tmp_path / "out.csv"), asked=predict.Asked(coverage=0.9))
  quantile = result["conformal"]["0.9"]["label"]["video"]["quantile"]
  for row in pd.read_csv(tmp_path / "out.csv").itertuples():
    want = [c for c in ("fast", "slow") if 1 - getattr(row, f"p_{c}") <= quantile] or [row.predicted]
    assert row.set == "|".join(want)
  said = capsys.readouterr().err
  covered = result["conformal"]["0.9"]["label"]["video"]["test"]["coverage"]["value"]
  assert "a coverage of 0.9 per video, from 10 patients" in said and f"it is {covered:.3f} [" in said
  with pytest.raises(DataError, match="needs 99 labelled validation patients"):
    predict.predict_files(str(folder), videos, "-", asked=predict.Asked(coverage=0.99))


def test_a_run_from_before_needs_only_its_predictions(finished, tmp_path):
  folder, result, _ = finished
  shutil.copytree(folder, tmp_path / "old")
  old = {k: v for k, v in result.items() if k != "conformal"}
  (tmp_path / "old/result.json").write_text(json.dumps(old))
  assert predict.load_sets(tmp_path / "old", 0.9) == result["conformal"]["0.9"]
