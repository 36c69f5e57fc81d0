"""Work in shares: each may be killed and started again, and all together are equal to one run without shares."""
import json
import shutil
import signal
import sys
import time

import pandas as pd
import pytest

from tests import tiny
from vft import cli, shards
from vft import main as mains
from vft.errors import ConfigError


@pytest.fixture(autouse=True)
def old_handlers():
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.fixture
def vft(monkeypatch, capsys):
  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", *map(str, args)])
    code = cli.main()
    return (code, *capsys.readouterr())
  return call


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  """The folder of a finished run of one epoch, and its config file."""
  folder = tmp_path_factory.mktemp("run")
  config = tiny.write_config_file(folder / "tiny.py", tiny_csv, train=dict(epochs=1))
  assert mains.main([f"--config={config}", f"--workdir={folder}/run"]) == 0
  return folder / "run", config


@pytest.mark.parametrize("text", ["", "1", "4/4", "-1/4", "a/4", "1/0", "1/2/3"])
def test_a_share_that_there_is_not_is_refused(text):
  with pytest.raises(ConfigError, match="counted from 0"):
    shards.parse(text)


def test_every_item_is_in_one_share():
  items = list(range(11))
  found = [shards.Shard(i, 4).share(items) for i in range(4)]
  assert sorted(x for part in found for x in part) == items and max(map(len, found)) - min(map(len, found)) <= 1


def test_merging_waits_for_all_and_takes_no_share_of_other_work(tmp_path):
  parts = [shards.Parts(tmp_path, shards.Shard(i, 2), "work") for i in (0, 1)]
  shards.run(shards.Parts(tmp_path, shards.Shard(1, 2), "other work"), lambda: "stale")
  shards.run(parts[0], lambda: "first")
  with pytest.raises(shards.Waiting, match="share 0 of 2 is done, 1 of them are"), parts[0].merged():
    pass
  shards.run(parts[1], lambda: "second")
  for part in parts:  # twice is as once
    shards.run(part, lambda: pytest.fail("it was done before"))
    with part.merged() as found:
      assert found == ["first", "second"]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)], ids=str)
def test_check_in_shares_equals_one_check(vft, tiny_csv, tmp_path, monkeypatch, order):
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  data = tmp_path / "data"
  shutil.copytree(tiny_csv.parent, data)
  (data / "p0_1.mp4").write_bytes(b"no video at all")
  shutil.copy(data / "p2_0.mp4", data / "p2_1.mp4")
  flags = ["--config.data.max_bad_fraction=0.1", "--config.log.progress=False", "--config.data.num_frames=8"]
  args = ["check", f"csv:{data}/clips.csv", *flags]
  one = vft(*args, "--output", tmp_path / "one")
  monkeypatch.setenv("HOME", str(tmp_path / "home2"))
  code = None
  for number, i in enumerate(order):
    code, out, _ = vft(*args, "--output", tmp_path / "three", f"--shard={i}/3")
    if number < 2:
      assert code == 0 and f"share {i} of 3 is done, {number + 1} of them are" in out
      assert not (tmp_path / "three/check.json").exists()
  assert code == one[0]
  for again in range(2):
    found = [json.loads((tmp_path / name / "check.json").read_text()) for name in ("one", "three")]
    for result in found:
      result.pop("seconds")
    assert found[0] == found[1] and found[0]["decoded_now"] > 20
    for name in ("files.csv", "manifest.csv"):
      assert (tmp_path / "one" / name).read_text() == (tmp_path / "three" / name).read_text()
    pages = [(tmp_path / name / "check.html").read_text().count("data:image/jpeg") for name in ("one", "three")]
    assert pages[0] == pages[1] > 0
    if not again:
      assert vft(*args, "--output", tmp_path / "three", "--shard=1/3")[0] == one[0]
  shutil.copy(data / "p0_0.mp4", data / "p0_1.mp4")  # repaired: what the shares found of the old file is not taken
  code, out, _ = vft(*args, "--output", tmp_path / "three", "--shard=1/3")
  assert code == 0 and "share 1 of 3 is done, 1 of them are" in out


def test_features_in_shares_are_those_that_a_run_looks_for_also_after_a_kill(vft, tiny_csv, tmp_path, finished):
  config = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv, train=dict(epochs=1), features=dict(batch=4))
  args = ["features", f"--config={config}", f"--workdir={tmp_path}/run"]
  process = tiny.start_process("-m", "vft.cli", *args, "--shard=0/2", cwd=tmp_path)
  until = time.monotonic() + 600
  while not (tmp_path / "run/manifest.csv").exists():
    assert process.poll() is None and time.monotonic() < until, process.communicate()
    time.sleep(0.05)
  process.kill()
  process.communicate()
  code, out, err = vft(*args, "--shard=0/2")
  assert code == 0 and "share 0 of 2 is done, 1 of them are" in out, err
  assert not (tmp_path / "run/features.json").exists()
  code, out, err = vft(*args, "--shard=1/2")
  assert code == 0 and "24 clips are kept, 0 could not be used" in out, err
  assert vft(*args, "--shard=1/2")[0] == 0  # and again
  assert json.loads((tmp_path / "run/features.json").read_text())["clips"] == 24
  assert vft("train", *args[1:])[0] == 0
  assert json.loads((tmp_path / "run/features.json").read_text())["computed"] == 0
  ours, whole = (pd.read_csv(f / "predictions_test.csv") for f in (tmp_path / "run", finished[0]))
  pd.testing.assert_frame_equal(ours, whole, rtol=1e-5)  # other clips stood beside them in a batch


def test_features_without_shares_are_found_too_and_a_training_trunk_has_none(vft, tiny_csv, tmp_path):
  config = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv, train=dict(epochs=1))
  assert vft("features", f"--config={config}", f"--workdir={tmp_path}/run")[0] == 0
  assert json.loads((tmp_path / "run/features.json").read_text()) | {"bytes": 0} == {"clips": 24, "computed": 24,
                                                                                     "bytes": 0}
  code, _, err = vft("features", f"--config={config}", f"--workdir={tmp_path}/all", "--config.groups.trunk.train=True")
  assert code == 2 and "there is nothing to keep" in err


def test_predictions_in_shares_equal_those_of_one_run(vft, tiny_csv, tmp_path, finished):
  data = tmp_path / "data"
  shutil.copytree(tiny_csv.parent, data)
  (data / "bad.mp4").write_bytes(b"no video")
  args = ["predict", finished[0], *sorted(data.glob("*.mp4"))]
  code, _, err = vft(*args, "--output", tmp_path / "one.csv")
  assert code == 3 and "1 of 25 files could not be read" in err
  code, again = 0, ""
  for i in (1, 2, 0, 1):  # one of them twice
    code, _, again = vft(*args, "--output", tmp_path / "three.csv", f"--shard={i}/3")
  assert code == 3 and again == err
  assert (tmp_path / "three.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
  (data / "bad.mp4").write_bytes(b"another one")
  code, out, _ = vft(*args, "--output", tmp_path / "three.csv", "--shard=1/3")
  assert code == 0 and "share 1 of 3 is done, 1 of them are" in out
  code, _, err = vft(*args, "--shard=0/3")
  assert code == 2 and "add --output=FILE" in err
