"""What feeds a run: a clip that breaks in mid-file is masked, listed and counted, with cached features and without."""
import csv
import json

import numpy as np
import pytest

from tests import tiny
from tests.clips import write_clip
from vft import run
from vft.data import manifest as manifests
from vft.data import skipped
from vft.errors import DataError


def break_in_the_middle(path):
  """An h264 file whose first and last frames decode and whose middle does not."""
  write_clip(path, tiny.disc(0.9, np.random.default_rng(9)), fps=16, gop=4, faststart=True)
  data = bytearray(path.read_bytes())
  start = data.index(b"mdat") + 4
  middle = slice(start + (len(data) - start) * 3 // 10, start + (len(data) - start) * 7 // 10)
  data[middle] = bytes(len(data[middle]))
  path.write_bytes(data)


@pytest.fixture
def broken_csv(tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))  # elsewhere these bytes may be known as broken already
  path = tiny.make_csv(tmp_path)
  break_in_the_middle(tmp_path / "p0_0.mp4")
  return path


@pytest.mark.parametrize("cache", [True, False])
def test_a_clip_broken_in_mid_file_is_listed_and_the_run_goes_on(broken_csv, tmp_path, cache):
  config = tiny.make_config(broken_csv, tmp_path / "config", data=dict(max_bad_fraction=0.2), train=dict(epochs=1),
                            features=dict(cache=cache, dir=str(tmp_path / "features")))
  assert (manifests.make_manifest(config).table.status == "ok").all()  # its first and last frames are fine
  result = run.run(config, tmp_path / "run")
  with (tmp_path / "run" / "skipped.csv").open(newline="") as file:
    (row,) = csv.DictReader(file)
  assert row["path"] == "p0_0.mp4" and "second try" not in row["reason"]
  assert result["data"]["skipped"] == 1
  assert json.loads((tmp_path / "run" / "result.json").read_text())["data"]["skipped"] == 1
  manifest, failed = manifests.make_manifest(config), set()
  skipped.Skipped(manifest, failed, tmp_path / "run" / "skipped.csv", config)
  assert failed == {int(row["row"])}  # a run that goes on has not forgotten it


def test_too_many_broken_clips_stop_a_run_that_decodes_every_epoch(broken_csv, tmp_path):
  config = tiny.make_config(broken_csv, tmp_path / "config", features=dict(cache=False))
  with pytest.raises(DataError, match=r"(?s)1 of 24 clips cannot be used.*p0_0\.mp4"):
    run.run(config, tmp_path / "run")
