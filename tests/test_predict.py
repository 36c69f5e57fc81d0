"""Clips of files: windows every few seconds, views and crops, and files that cannot be read."""
import io
import json
import sys
import unicodedata

import jax
import numpy as np
import pytest

from configs import default
from tests.clips import frames, write_clip
from vft import forward, predict
from vft.data import inspection, readers, sampling
from vft.errors import ConfigError, DataError
from vft.predict import clips as batches_of
from vft.predict import videos
from vft.tasks import Task


def make_config(stride_s=0.0, **evaluation):
  config = default.get_config()
  config.data.update(num_frames=4, fps=5.0, resize=16, size=16, stride_s=stride_s)
  config.eval.update(evaluation)
  config.features.batch = 4
  return config


@pytest.fixture
def video(tmp_path):
  """4 s, 10 frames a second; frame i has the grey value 20 + 5 i."""
  write_clip(tmp_path / "long.mp4", frames(40, step=5))
  return tmp_path / "long.mp4"


def clips(paths, config):
  seen, bad = [], {}
  batches = list(batches_of.batches(paths, config, seen, bad))
  rows, pixels = (np.concatenate([b[k][b["mask"]] for b in batches]) if batches else [] for k in ("row", "video"))
  assert list(rows) == list(range(len(seen)))
  assert all(len(b["mask"]) % jax.device_count() == 0 and (b["row"][~b["mask"]] == -1).all() for b in batches)
  return pixels, seen, bad


def grey(seconds):
  return 20 + 5 * np.round(seconds * 10)


@pytest.mark.parametrize("stride", [0.7, 1.5])
@pytest.mark.parametrize("near_s", [5.0, -9.0], ids=["one go", "one by one"])
def test_windows_show_their_own_seconds(video, stride, near_s, monkeypatch):
  monkeypatch.setattr(batches_of, "NEAR_S", near_s)
  pixels, seen, bad = clips([video, video], make_config(stride))
  starts = np.append(np.arange(0, 3.2, stride), 3.2)
  assert [t[0, 0] for _, t in seen] == pytest.approx([*starts, *starts]) and not bad
  assert pixels.shape == (len(seen), 1, 4, 16, 16, 3)
  for clip, (_, times) in zip(pixels, seen, strict=True):
    np.testing.assert_allclose(clip[0].mean((1, 2, 3)), grey(np.floor(times[0] * 10 + 1e-6) / 10), atol=6)


def test_views_and_crops_of_a_file_are_one_row(video):
  pixels, seen, _ = clips([video], make_config(views=2, crops=3))
  assert pixels.shape == (1, 6, 4, 16, 16, 3) and len(seen) == 1 and seen[0][1].shape == (2, 4)
  np.testing.assert_allclose(pixels[0, :, 0].mean((1, 2, 3)), np.repeat(grey(seen[0][1][:, 0]), 3), atol=3)


def test_a_file_is_as_long_as_in_a_manifest(tmp_path):
  """To the last digit, which decides where two frames are as near to the second wanted."""
  path = write_clip(tmp_path / "third.mpg", frames(10), fps=30, codec="mpeg2video")
  config = make_config(views=1)
  exact = readers.probe(path, **readers.options(config.data)).duration_s
  assert round(exact, 6) != exact
  _, seen, _ = clips([path], config)
  listed = inspection.probe(path, "", reading=readers.options(config.data)).duration_s
  want = sampling.Sampler.make(config.data).times(listed, view=0, views=1)
  np.testing.assert_array_equal(seen[0][1][0], want)


def test_a_broken_file_is_named_and_the_next_one_read(video, tmp_path):
  (tmp_path / "bad.mp4").write_bytes(b"hello")
  _, seen, bad = clips([tmp_path / "bad.mp4", video], make_config())
  assert [p for p, _ in seen] == [video] and "not a video" in bad[tmp_path / "bad.mp4"]


def test_on_cpus_a_batch_passes_a_few_clips_at_a_time(monkeypatch):
  devices = jax.device_count()
  batch = {"video": np.zeros((6 * devices, 2, 4, 8, 8, 3), np.uint8), "row": np.arange(6 * devices),
           "label": {"a": np.arange(6 * devices)}}
  monkeypatch.setattr(forward, "CPU_PIXELS", 5 * 2 * 4 * 8 * 8)  # five clips; three divide the batch evenly
  parts = list(forward.clip_parts(batch))
  assert [len(p["row"]) for p in parts] == 2 * [3 * devices]
  np.testing.assert_array_equal(np.concatenate([p["label"]["a"] for p in parts]), batch["row"])


def test_patterns_and_a_list_on_standard_input_name_files(tmp_path, monkeypatch):
  names = [tmp_path / name for name in ("a.mp4", "b.mp4", "deep/c.mp4", "[d].mp4")]
  (tmp_path / "deep").mkdir()
  for name in names:
    name.touch()
  assert predict.find_videos([f"{tmp_path}/?.mp4"]) == names[:2]
  assert names[2] in predict.find_videos([f"{tmp_path}/**/*.mp4"])
  assert predict.find_videos([str(names[3])]) == [names[3]]  # a name, not a pattern
  monkeypatch.setattr(sys, "stdin", io.StringIO(f"{names[1]}\n\n  {names[0]}\n"))
  assert predict.find_videos(["-", str(names[2])]) == [names[1], names[0], names[2]]
  (tmp_path / "deep/.old").mkdir()
  for name in ("clips.csv", "DICOMDIR", ".old/e.mp4"):  # found beside videos and never one
    (tmp_path / "deep" / name).touch()
  assert predict.find_videos([str(names[2]), str(tmp_path / "deep")]) == [names[2]]  # named twice, there once
  with pytest.raises(DataError, match=r"Nothing matches '.*/x\*'"):
    predict.find_videos([f"{tmp_path}/x*"])


def test_the_pattern_of_patients_is_looked_for_in_names_then_in_folders_from_the_nearest_on():
  paths = {"/data/mp4/p1_a.mp4": "p1", "/mp4/p7/p8/clip.mp4": "p8", "/data/p2/frames.v1": "p2",
           "s3://p9/x/p3.mp4": "p3"}
  assert videos.groups([], [*paths], r"p\d+") == paths
  assert videos.groups([], ["/data/p1/p2/a.mp4"], r"/(p\d+)/p") == {"/data/p1/p2/a.mp4": "p1"}  # in the whole path


def test_the_column_of_patients_is_one_of_the_list_and_says_one_of_each_video(tmp_path, caplog):
  file = tmp_path / "list.csv"
  one, other = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
  file.write_text(f"path,patient_id\n./a.mp4,{one}\n\nb.mp4,{other}\nc.mp4,007\n")
  found = predict.find_videos([str(file)])
  assert [*videos.groups([str(file)], found, "patient_id").values()] == [one, one, "007"]
  with pytest.raises(ConfigError, match=r"--group=patient is no column of .*; did you mean 'patient_id'"):
    videos.groups([str(file)], found, "patient")  # else the folder /data/patients would be the patient of all
  file.write_text("path,start_s,end_s\na.mp4,0,1\na.mp4,1,2\n")
  assert predict.find_videos([str(file)]) == [tmp_path / "a.mp4"] and "has spans, which are not read" in caplog.text
  file.write_text("path,who\na.mp4,x\n./a.mp4,y\n")
  with pytest.raises(DataError, match="stands there with 'x' and 'y'"):
    videos.groups([str(file)], predict.find_videos([str(file)]), "who")
  for text, message in (("path,who\n,x\n", "line 2: no path"),
                        ("path,who\na.mp4,x, y\n", "line 2: 3 cells, but line 1 has 2")):
    file.write_text(text)
    with pytest.raises(DataError, match=message):
      predict.find_videos([str(file)])


def test_a_table_is_written_as_csv_or_json():
  text = "path,start_s,predicted,p_fast\r\n/v/07.mp4,1.500,fast,0.1235\r\n"
  one = (Task(classes=("fast", "slow")),)
  assert predict.formatted(text, "t.csv", one) == predict.formatted(text, "-", one) == text
  assert json.loads(predict.formatted(text, "t.json", one)) == [
      {"path": "/v/07.mp4", "start_s": 1.5, "predicted": "fast", "p_fast": 0.1235}]


def test_names_of_classes_stay_what_they_are_in_json_and_numbers_are_numbers():
  several = (Task("grade", "ordinal", ("None", "01")), Task("ef", "regression"))
  text = "path,grade_predicted,grade_p_None,grade_set,ef_predicted\r\nNA,None,0.9,01,61.5\r\nb,01,0.2,None|01,7\r\n"
  assert json.loads(predict.formatted(text, "t.json", several)) == [
      {"path": "NA", "grade_predicted": "None", "grade_p_None": 0.9, "grade_set": "01", "ef_predicted": 61.5},
      {"path": "b", "grade_predicted": "01", "grade_p_None": 0.2, "grade_set": "None|01", "ef_predicted": 7.0}]
