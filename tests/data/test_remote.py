"""Data at s3://: the same manifest and pixels as from the disk, only the bytes that a clip needs, nothing outside."""
import hashlib

import numpy as np
import pytest

from configs import default
from tests import s3
from tests.clips import frames, repeat_clip, write_clip
from tests.data.dicoms import write_dicom
from tests.s3 import BUCKET, server  # noqa: F401  a fixture
from vft import predict, storage
from vft.data import inspection, manifest, readers
from vft.data.sources import open_source
from vft.errors import ConfigError, DataError, RunError

pytestmark = pytest.mark.usefixtures("server")
READING = dict(max_pixels=10**8)


def make_config(source, **data):
  config = default.get_config()
  config.data.update(source=source, num_frames=4, fps=5.0, resize=32, size=32, workers=0, **data)
  return config


@pytest.fixture(scope="module")
def remote_csv(tiny_csv, server):  # noqa: F811
  s3.upload(tiny_csv.parent, f"{BUCKET}/tiny")
  return f"{BUCKET}/tiny/clips.csv"


def test_the_manifest_is_that_of_the_same_files_on_disk(tiny_csv, remote_csv):
  here = manifest.make_manifest(make_config(f"csv:{tiny_csv}"))
  there = manifest.make_manifest(make_config(f"csv:{remote_csv}"))
  assert there.text == here.text and len(there.table) == 24


@pytest.mark.parametrize("official", [True, False])
def test_a_remote_folder_is_read_as_one_on_disk(tmp_path, server, official):  # noqa: F811
  names = ["a/1.mp4", "a/deeper/2.mp4", "b/3.mp4", "b/notes.txt", "b/.hidden.mp4"]
  for name in (f"{split}/{n}" for split in ("train", "test") for n in names) if official else names:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(name.encode())
  s3.upload(tmp_path, f"{BUCKET}/folder-{official}")
  data = default.get_config().data
  here = open_source(f"folder:{tmp_path}", data).rows()
  there = open_source(f"folder:{BUCKET}/folder-{official}", data).rows()
  assert there.equals(here) and len(here) == (6 if official else 3)


def test_a_clip_of_a_long_video_fetches_a_small_part_of_it(tmp_path, server):  # noqa: F811
  rng = np.random.default_rng(0)
  write_clip(tmp_path / "one.mp4", rng.integers(0, 255, (50, 96, 128, 3), np.uint8), crf=1)
  path = repeat_clip(tmp_path / "one.mp4", tmp_path / "long.mp4", 40)
  size = (tmp_path / "long.mp4").stat().st_size
  assert size > 30e6
  storage.send(tmp_path / "long.mp4", f"{BUCKET}/long.mp4")
  times = np.arange(117.0, 119.0, 0.25)
  want = readers.read_clip(path, times, resize=32, **READING)
  s3.forget()
  server.sent.clear()
  got = readers.read_clip(f"{BUCKET}/long.mp4", times, resize=32, **READING)
  np.testing.assert_array_equal(got, want)
  assert 0 < server.bytes_of("long.mp4") < 0.12 * size
  before = len(server.sent)
  readers.read_clip(f"{BUCKET}/long.mp4", times, resize=32, **READING)
  assert len(server.sent) == before  # a process remembers its last blocks


def test_every_byte_of_a_remote_file_is_read_as_it_is(tmp_path, server):  # noqa: F811
  data = np.random.default_rng(0).bytes(3_000_001)
  (tmp_path / "x.bin").write_bytes(data)
  storage.send(tmp_path / "x.bin", f"{BUCKET}/x.bin")
  s3.forget()
  assert inspection.digest(f"{BUCKET}/x.bin") == hashlib.sha256(data).hexdigest()
  assert len([s for s in server.sent if s[1].endswith("x.bin") and s[0] == "GET"]) < 8
  with readers.open_bytes(f"{BUCKET}/x.bin") as file:
    file.seek(-5, 2)
    assert file.read() == data[-5:] and file.read() == b"" and file.tell() == len(data)


def test_dicom_is_read_from_afar(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  for name in "ab":
    (tmp_path / "d" / name).mkdir(parents=True)
  write_dicom(tmp_path / "d/a/1.dcm", frames(3)[..., 0], FrameTime=100)
  write_dicom(tmp_path / "d/b/2.dcm", frames(3)[..., 0], FrameTime=100)
  s3.upload(tmp_path / "d", f"{BUCKET}/dicom")
  data = default.get_config().data
  here, there = (open_source(f"dicom:{place}", data) for place in (tmp_path / "d", f"{BUCKET}/dicom"))
  assert there.rows().equals(here.rows()) and (here.rows().group != "").all()
  found = [inspection.probe(s.read("a/1.dcm"), "", reading=READING) for s in (here, there)]
  assert found[0] == found[1] and not found[0].reason


@pytest.mark.parametrize("path", ["../other/x.mp4", "/etc/passwd", f"{BUCKET}/other/x.mp4", "s3://elsewhere/x.mp4",
                                  "a/../../x.mp4", "%2e%2e/other/x.mp4", "x.zip::/etc/passwd", "file:///etc/passwd"])
def test_a_remote_list_opens_nothing_outside_its_folder(tmp_path, path):
  (tmp_path / "list.csv").write_text(f"path,label\nok.mp4,a\n{path},b\n")
  storage.send(tmp_path / "list.csv", f"{BUCKET}/lists/list.csv")
  source = open_source(f"csv:{BUCKET}/lists/list.csv", default.get_config().data)
  with pytest.raises(DataError, match=r"line 3: .* outside config.data.root"):
    source.rows()


def test_a_remote_list_may_name_its_videos_in_full(tmp_path):
  (tmp_path / "list.csv").write_text(f"path,label\n{BUCKET}/lists/sub/x.mp4,b\n")
  storage.send(tmp_path / "list.csv", f"{BUCKET}/lists/full.csv")
  source = open_source(f"csv:{BUCKET}/lists/full.csv", default.get_config().data)
  assert source.read(source.rows().path[0]) == f"{BUCKET}/lists/sub/x.mp4"


def test_a_list_on_disk_opens_nothing_remote(tmp_path, remote_csv, server):  # noqa: F811
  (tmp_path / "list.csv").write_text(f"path,label\n{BUCKET}/tiny/p0_0.mp4,a\n")
  server.sent.clear()
  source = open_source(f"csv:{tmp_path}/list.csv", default.get_config().data)
  with pytest.raises(DataError, match="no such file"):
    readers.probe(source.read(source.rows().path[0]), **READING)
  assert server.sent == []


@pytest.mark.parametrize("name, message", [
    ("none.mp4", "no such file: s3://clips/bad/none.mp4"), ("empty.mp4", "empty file"), ("cut.mp4", "cut off"),
    ("text.mp4", "not a video: starts with 'hello"), ("", "a folder, not a file")])
def test_faults_of_remote_files_have_their_reasons(tmp_path, name, message):
  write_clip(tmp_path / "whole.mp4")
  for file, data in (("empty.mp4", b""), ("text.mp4", b"hello world, this is a page"),
                     ("cut.mp4", (tmp_path / "whole.mp4").read_bytes()[:-400])):
    (tmp_path / file).write_bytes(data)
  s3.upload(tmp_path, f"{BUCKET}/bad")
  s3.forget()
  with pytest.raises(DataError, match=message):
    readers.probe(f"{BUCKET}/bad/{name}".rstrip("/"), **READING)


def test_a_network_that_is_down_stops_the_run_and_blames_no_video(tmp_path, server, monkeypatch):  # noqa: F811
  storage.send(tmp_path / write_clip(tmp_path / "up.mp4"), f"{BUCKET}/up.mp4")
  s3.forget()
  driver = storage._driver(BUCKET)[0]
  monkeypatch.setattr(type(driver), "retries", 1)
  monkeypatch.setattr(server, "down", True)
  with pytest.raises(RunError, match=r"s3://clips/up.mp4 cannot be reached"):
    inspection.inspect_all(open_source(f"folder:{BUCKET}", default.get_config().data), ["up.mp4"], READING)


@pytest.mark.parametrize("spec, error, message", [
    ("csv:file:///data/clips.csv", ConfigError, "expected a plain path for local files"),
    ("csv:zip://a.csv::s3://clips/x.zip", ConfigError, "expected a plain path for local files"),
    ("csv:nosuch://x/clips.csv", ConfigError, "the protocol nosuch:// is not known"),
    ("csv:s3://clips/nothing.csv", DataError, "Expected a CSV file with columns path and label"),
    ("csv:s3://nobucket/nothing.csv", DataError, "Expected a CSV file with columns path and label"),
    ("folder:s3://clips/nothing", DataError, "There is no folder 's3://clips/nothing'"),
    ("ucf101:s3://clips/ucf", ConfigError, "ucf101 is read from this machine only"),
])
def test_places_that_cannot_be_opened_say_why(spec, error, message):
  with pytest.raises(error, match=message):
    open_source(spec, default.get_config().data).rows()


def test_videos_to_predict_are_found_afar(tmp_path, remote_csv):
  assert predict.find_videos([f"{BUCKET}/tiny/p0_0.mp4"]) == [f"{BUCKET}/tiny/p0_0.mp4"]
  assert f"{BUCKET}/tiny/p1_1.mp4" in predict.find_videos([f"{BUCKET}/tiny"])
  with pytest.raises(DataError, match=r"There is no file or folder 's3://clips/none.mp4'"):
    predict.find_videos([f"{BUCKET}/none.mp4"])
