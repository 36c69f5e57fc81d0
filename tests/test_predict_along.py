"""Along a video: smoothing and segments; across videos: one line per patient, lists as CSV files."""
import contextlib
import json
import shutil

import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.clips import write_clip
from vft import calibration, predict, run, shards
from vft.errors import ConfigError, DataError
from vft.predict import smoothing
from vft.predict.lines import Lines, pooled
from vft.tasks import Task

AB = Task("label", "single", ("a", "b"))


def lines(path, start_s, probs, length_s=1.0):
  start_s = np.array(start_s, float)
  return Lines(path, start_s, start_s + length_s, {"label": np.array(probs)}, {})


def of_b(*b):
  return [[1 - x, x] for x in b]


def test_smoothing_is_the_mean_over_lines_around_of_the_same_video():
  rng = np.random.default_rng(0)
  start = np.r_[np.arange(12) * 0.5, np.arange(7) * 0.5]
  given = lines(["x"] * 12 + ["y"] * 7, start, rng.dirichlet([1, 1], 19))
  got = smoothing.smooth(given, 2.0).outputs["label"]
  for i, (path, t) in enumerate(zip(given.path, start, strict=True)):
    near = [j for j in range(19) if given.path[j] == path and abs(start[j] - t) <= 1.0]
    np.testing.assert_allclose(got[i], given.outputs["label"][near].mean(0))
  np.testing.assert_allclose(smoothing.smooth(given, 0.1).outputs["label"], given.outputs["label"])


def test_segments_meet_halfway_and_end_where_lines_are_missing():
  given = lines(["x"] * 6 + ["y"], [0, 1, 2, 3, 7, 8, 0], of_b(0.1, 0.3, 0.8, 0.6, 0.9, 0.7, 0.2), length_s=2.0)
  got = smoothing.segments(given, [AB], step_s=1.0)
  want = [("x", 0, 2.5, "a", 0.8, 2), ("x", 2.5, 5, "b", 0.7, 2), ("x", 7, 10, "b", 0.8, 2), ("y", 0, 2, "a", 0.8, 1)]
  assert got.columns.tolist() == ["path", "start_s", "end_s", "predicted", "probability", "lines"]
  for row, (path, start, end, label, p, count) in zip(got.itertuples(index=False), want, strict=True):
    assert (row.path, row.predicted, row.lines) == (path, label, count)
    assert (float(row.start_s), float(row.end_s), row.probability) == pytest.approx((start, end, p))


def test_each_of_many_labels_has_segments_of_its_own():
  task = Task("tags", "multi", ("t", "u"))
  given = Lines(["x"] * 3, np.arange(3.0), np.arange(3) + 1.0, {
      "tags": np.array([[0.9, 0.1], [0.7, 0.6], [0.2, 0.8]]), "n": np.zeros((3, 1))}, {})
  got = smoothing.segments(given, [task, Task("n", "regression")], step_s=1.0)
  assert got[["task", "start_s", "end_s", "predicted"]].to_numpy().tolist() == [
      ["tags", "0.000", "2.000", "t"], ["tags", "1.000", "3.000", "u"]]
  assert got.probability.tolist() == pytest.approx([0.8, 0.7])


def test_probabilities_of_a_patient_are_pooled_after_the_temperature():
  given = lines(["x", "y", "z"], [0, 0, 0], of_b(0.999, 0.4, 0.2))
  entry = dict(kind="single", temperature=3.0, thresholds=[0.6])
  got = pooled(given, dict(x="p2", y="p2", z="p1"), (AB,), {"label": entry}, {})
  after = calibration.apply(of_b(0.999, 0.4, 0.2), entry)[:, 1]
  assert got.group.tolist() == ["p1", "p2"] and got.lines.tolist() == [1, 2]
  assert got.calibrated_b.tolist() == pytest.approx([after[2], after[:2].mean()])
  assert got.predicted.tolist() == ["a", "b"] and got.p_b[1] == pytest.approx(0.6995)
  assert got.at_threshold.tolist() == ["a", "b"]


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  folder = tmp_path_factory.mktemp("along")
  config = tiny.make_config(tiny_csv, folder, train=dict(batch=8, epochs=4))
  return folder / "run", run.run(config, folder / "run"), tiny_csv.parent


def table(folder, paths, out, **asked):
  predict.predict_files(str(folder), [str(p) for p in paths], str(out), asked=predict.Asked(**asked))
  return pd.read_csv(out, dtype={"group": str})


def test_a_long_video_in_windows_smoothed_and_as_segments(finished, tmp_path):
  rng = np.random.default_rng(1)
  write_clip(tmp_path / "long.mp4", np.concatenate([tiny.disc(rate, rng) for rate in (0.9, 0.9, 0.3, 0.3)]), fps=16)
  folder, video = finished[0], tmp_path / "long.mp4"
  raw = table(folder, [video], tmp_path / "raw.csv", stride_s=0.5)
  soft = table(folder, [video], tmp_path / "soft.csv", stride_s=0.5, smooth_s=1.0)
  assert raw.start_s.tolist()[:3] == [0, 0.5, 1.0] and len(raw) == len(soft) > 6
  middle = (raw.start_s + raw.end_s) / 2
  near = abs(middle.to_numpy()[:, None] - middle.to_numpy()) <= 0.5 + 1e-6
  np.testing.assert_allclose(soft.p_fast, near @ raw.p_fast / near.sum(1), atol=2e-4)
  found = table(folder, [video], tmp_path / "segments.csv", stride_s=0.5, smooth_s=1.0, segments=True)
  assert found.start_s[0] == soft.start_s[0] and found.end_s.iloc[-1] == soft.end_s.iloc[-1]
  assert found.start_s.tolist()[1:] == found.end_s.tolist()[:-1] and found.lines.sum() == len(soft)
  of_segment = np.repeat(np.arange(len(found)), found.lines)
  assert found.predicted[of_segment].tolist() == soft.at_threshold.tolist()
  p = np.where(soft.at_threshold == "fast", soft.calibrated_fast, soft.calibrated_slow)
  np.testing.assert_allclose(found.probability, [p[of_segment == i].mean() for i in range(len(found))], atol=2e-4)


def test_patients_are_pooled_as_the_run_pools_them(finished, tmp_path):
  folder, result, data = finished
  test = pd.read_csv(folder / "predictions_test.csv")
  test.assign(path=[str(data / p) for p in test.path], patient=test.group)[["path", "patient"]].to_csv(
      tmp_path / "list.csv", index=False)
  got = table(folder, [tmp_path / "list.csv"], tmp_path / "out.csv", group="patient")
  assert got.group.tolist() == sorted(test.group.unique()) and (got.lines == 2).all()
  truth = test.groupby("group").label.first()[got.group].to_numpy()
  assert (got.predicted == truth).mean() == result["test"]["patient"]["accuracy"]["value"]
  np.testing.assert_allclose(got.p_slow, test.groupby("group").p_slow.mean(), atol=1e-3)
  entry = json.loads((folder / "calibration.json").read_text())["label"]
  tempered = calibration.apply(test[["p_fast", "p_slow"]], entry)[:, 1]
  np.testing.assert_allclose(got.calibrated_slow, pd.Series(tempered).groupby(test.group).mean(), atol=1e-3)
  np.testing.assert_array_equal(got.at_threshold == "slow", got.calibrated_slow >= entry["thresholds"][0])
  videos = sorted(data / p for p in test.path)
  again = table(folder, videos, tmp_path / "again.csv", group=r"/(p\d+)_")
  pd.testing.assert_frame_equal(again, got, atol=1e-3)  # a batch holds other videos
  for i in range(2):
    with pytest.raises(shards.Waiting) if i == 0 else contextlib.nullcontext():
      predict.predict_files(str(folder), [str(v) for v in videos], str(tmp_path / "parts.csv"),
                            shards.Shard(i, 2), predict.Asked(group=r"/(p\d+)_"))
  assert (tmp_path / "parts.csv").read_bytes() == (tmp_path / "again.csv").read_bytes()


def test_a_run_from_before_a_field_was_added_still_predicts(finished, tmp_path):
  folder, _, data = finished
  old = shutil.copytree(folder, tmp_path / "old")
  config = json.loads((old / "config.json").read_text())
  del config["mesh"]["whole"], config["data"]["frame_rate"], config["lora"]
  (old / "config.json").write_text(json.dumps(config))
  now, before = (table(f, [data / "p0_0.mp4"], tmp_path / "out.csv") for f in (folder, old))
  pd.testing.assert_frame_equal(now, before)


def test_a_list_is_relative_to_its_folder_and_names_what_is_missing(finished, tmp_path):
  folder, _, clips = finished
  data = shutil.copytree(clips, tmp_path / "data")
  (data / "some.csv").write_text("Path,who\np0_0.mp4,x\ngone.mp4,x\np1_0.mp4,y\n")
  with pytest.raises(DataError, match=r"(?s)1 of 3 files could not be read; the others are done.*gone\.mp4: "):
    table(folder, [data / "some.csv"], tmp_path / "out.csv")
  assert pd.read_csv(tmp_path / "out.csv").path.tolist() == [str(data / "p0_0.mp4"), str(data / "p1_0.mp4")]
  (data / "bad.csv").write_text("file\np0_0.mp4\n")
  with pytest.raises(DataError, match="no column 'path'"):
    predict.find_videos([str(data / "bad.csv")])


@pytest.mark.parametrize(("asked", "error", "words"), [
    (dict(smooth_s=1.0), ConfigError, "Add --stride=SECONDS"), (dict(segments=True), ConfigError, "Add --stride"),
    (dict(stride_s=1.0, coverage=0.5), ConfigError, "or --coverage"), (dict(stride_s=-1.0), ConfigError, "above 0"),
    (dict(group="q(.*"), ConfigError, "or a pattern"), (dict(group=r"q\d"), DataError, "no group for 1 of 1 videos"),
    (dict(group="p", stride_s=1.0, segments=True), ConfigError, "without --segments")])
def test_what_cannot_be_asked_for_is_said_before_anything_is_read(finished, asked, error, words, tmp_path):
  folder, _, data = finished
  with pytest.raises(error, match=words):
    table(folder, [data / "p0_0.mp4"], tmp_path / "out.csv", **asked)


def test_segments_are_decided_at_the_thresholds_of_validation():
  given = lines(["x"] * 4, range(4), of_b(0.2, 0.4, 0.45, 0.1))
  got = smoothing.segments(given, [AB], 1.0, {"label": 0.4})
  assert got[["predicted", "lines"]].to_numpy().tolist() == [["a", 1], ["b", 2], ["a", 1]]
  task = Task("tags", "multi", ("t", "u"))
  given = Lines(["x"] * 3, np.arange(3.0), np.arange(3) + 1.0, {"tags": np.array([[0.4, 0.6], [0.2, 0.9], [0.4, 0.5]])},
                {})
  got = smoothing.segments(given, [task], 1.0, {"tags": [0.3, 0.8]})
  assert got[["predicted", "start_s", "end_s"]].to_numpy().tolist() == [
      ["t", "0.000", "1.000"], ["u", "1.000", "2.000"], ["t", "2.000", "3.000"]]


def test_the_segments_of_a_run_are_its_lines_at_the_threshold(finished, tmp_path):
  rng = np.random.default_rng(2)
  write_clip(tmp_path / "long.mp4", np.concatenate([tiny.disc(rate, rng) for rate in (0.9, 0.3, 0.9, 0.3)]), fps=16)
  folder, video = shutil.copytree(finished[0], tmp_path / "run"), tmp_path / "long.mp4"
  raw = table(folder, [video], tmp_path / "raw.csv", stride_s=0.5)
  entries = json.loads((folder / "calibration.json").read_text())
  entries["label"]["thresholds"] = [float(raw.calibrated_slow.max())]  # one line reaches it
  (folder / "calibration.json").write_text(json.dumps(entries))
  said = table(folder, [video], tmp_path / "raw.csv", stride_s=0.5).at_threshold
  found = table(folder, [video], tmp_path / "segments.csv", stride_s=0.5, segments=True)
  assert found.predicted[np.repeat(np.arange(len(found)), found.lines)].tolist() == said.tolist()
  assert set(found.predicted) >= {"fast"} and found.lines.sum() == len(raw)
