"""Annotated videos: as long as the original, the label of the moment below; and videos in a bucket."""
import shutil

import av
import numpy as np
import pandas as pd
import pytest

from tests import tiny
from tests.clips import frames, write_clip
from tests.s3 import BUCKET, server  # noqa: F401
from vft import predict, run, storage
from vft.errors import ConfigError, DataError
from vft.predict import annotate, kept
from vft.predict.lines import Lines
from vft.tasks import Task


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  folder = tmp_path_factory.mktemp("annotated")
  config = tiny.make_config(tiny_csv, folder, train=dict(batch=8, epochs=1))
  run.run(config, folder / "run")
  return folder / "run", tiny_csv.parent


def shown(path):
  with av.open(str(path)) as video:
    return np.stack([f.to_ndarray(format="rgb24") for f in video.decode(video=0)]).astype(int)


def test_a_video_is_shown_whole_with_a_mark_that_moves(finished, tmp_path):
  folder, _ = finished
  write_clip(tmp_path / "v.mp4", frames(40, step=5))
  (tmp_path / "bad.mp4").write_bytes(b"no video")
  (tmp_path / "deep").mkdir()
  shutil.copy(tmp_path / "v.mp4", tmp_path / "deep/v.mp4")
  with pytest.raises(DataError, match=r"(?s)1 of 3 files could not be read.*bad\.mp4"):
    predict.predict_files(str(folder), [str(tmp_path / n) for n in ("v.mp4", "bad.mp4", "deep/v.mp4")],
                          str(tmp_path / "out.csv"), asked=predict.Asked(stride_s=0.5, annotate=tmp_path / "seen"))
  assert sorted(p.name for p in (tmp_path / "seen").iterdir()) == ["v.mp4", "v_2.mp4"]
  got = shown(tmp_path / "seen/v.mp4")
  assert got.shape == (40, annotate.SIDE + annotate.PANEL, annotate.SIDE, 3)
  picture, panel = got[:, :annotate.SIDE], got[:, annotate.SIDE:]
  np.testing.assert_allclose(picture.mean((1, 2, 3)), 20 + 5 * np.arange(40), atol=4)
  left, top, right, bottom = annotate.CURVE
  inside = panel[:, top + 4:bottom - 4, left:right].min(axis=(1, 3))  # white only where the mark is
  np.testing.assert_allclose(inside.argmax(axis=1), (right - left) * np.arange(40) / 40, atol=4)
  assert (np.abs(panel[0, 8:32, 8:120] - panel[0, 2, 2]).max(-1) > 100).sum() > 50  # a label is written


def test_each_task_has_a_panel_with_its_thresholds(finished, tmp_path):
  config = kept.load_config(finished[0])
  write_clip(tmp_path / "v.mp4", frames(8, step=5))
  wanted = Task("label", classes=("a", "b")), Task("tags", "multi", ("t", "u", "v"))
  said = Lines([str(tmp_path / "v.mp4")], np.zeros(1), np.ones(1), {"label": np.array([[0.7, 0.3]]),
                                                                    "tags": np.array([[0.9, 0.5, 0.1]])}, {})
  rows, seen = np.zeros(1, int), []
  for cuts in ({}, {"label": 0.2, "tags": [0.8, 0.6, 0.4]}):
    annotate.write(tmp_path / "out.mp4", tmp_path / "v.mp4", said, rows, wanted, cuts, config)
    seen.append(shown(tmp_path / "out.mp4"))
  assert seen[0].shape[1] == annotate.SIDE + 2 * annotate.PANEL
  changed = np.abs(seen[1] - seen[0])[0].max(axis=-1) > 60
  one, two = changed[annotate.SIDE:][:annotate.PANEL], changed[-annotate.PANEL:]
  left, top, right, bottom = annotate.CURVE
  for panel, cuts in ((one, [0.2]), (two, [0.8, 0.6, 0.4])):
    rows = np.flatnonzero(panel[top + 2:bottom - 2, left + 4:right - 4].sum(axis=1) > 60)
    for cut in cuts:
      assert np.abs(rows + 2 - (bottom - top) * (1 - cut)).min() <= 1
  assert one[8:32, 8:120].sum() > 20  # "a" has become "b"


def test_a_file_that_is_there_stays(finished, tmp_path):
  folder, data = finished
  (tmp_path / "seen").mkdir()
  (tmp_path / "seen/p0_0.mp4").write_bytes(b"mine")
  with pytest.raises(ConfigError, match=r"p0_0\.mp4 exists already"):
    predict.predict_files(str(folder), [str(data / "p0_0.mp4")], "-", asked=predict.Asked(annotate=tmp_path / "seen"))
  assert (tmp_path / "seen/p0_0.mp4").read_bytes() == b"mine"


def test_videos_in_a_bucket_are_predicted_like_those_here(finished, server, tmp_path):  # noqa: F811
  folder, data = finished
  names = ("p0_0.mp4", "p1_0.mp4")
  for name in names:
    storage.send(data / name, f"{BUCKET}/in/{name}")
  storage.write(f"{BUCKET}/in/bad.mp4", b"no video")
  storage.write(f"{BUCKET}/in/list.csv", b"path,group\np0_0.mp4,a\np1_0.mp4,a\n")
  predict.predict_files(str(folder), [str(data / n) for n in names], str(tmp_path / "here.csv"))
  predict.predict_files(str(folder), [f"{BUCKET}/in/list.csv"], str(tmp_path / "there.csv"))
  here, there = pd.read_csv(tmp_path / "here.csv"), pd.read_csv(tmp_path / "there.csv")
  assert there.path.tolist() == [f"{BUCKET}/in/{n}" for n in names]
  pd.testing.assert_frame_equal(here.drop(columns="path"), there.drop(columns="path"))
  with pytest.raises(DataError, match=r"(?s)1 of 2 files could not be read.*s3://clips/in/bad\.mp4: "):
    predict.predict_files(str(folder), [f"{BUCKET}/in/p0_0.mp4", f"{BUCKET}/in/bad.mp4"], str(tmp_path / "some.csv"))
  assert pd.read_csv(tmp_path / "some.csv").predicted.tolist() == here.predicted.tolist()[:1]
