"""vft explain on a real run and real files: every file it writes is opened again."""
import re
import sys

import av
import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.clips import write_clip
from vft import cli, main
from vft.explain import command, pictures


@pytest.fixture(scope="module")
def finished(tiny_csv, tmp_path_factory):
  """The folder of a finished run of a tiny ResNet."""
  folder = tmp_path_factory.mktemp("explained")
  path = tiny.write_config_file(folder / "tiny.py", tiny_csv, model=dict(name="resnet"), train=dict(epochs=1))
  assert main.main([f"--config={path}", f"--workdir={folder / 'run'}"]) == 0
  return folder / "run"


@pytest.fixture
def explain(monkeypatch, capsys, tmp_path):
  """vft explain ... -> (exit code, stdout, stderr), in a folder of its own."""
  monkeypatch.chdir(tmp_path)

  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", "explain", *map(str, args)])
    return (cli.main(), *capsys.readouterr())
  return call


def test_each_video_gets_its_files_and_the_broken_one_is_named(explain, finished, tiny_csv, tmp_path):
  (tmp_path / "more").mkdir()
  write_clip(tmp_path / "more/p0_0.mp4")
  (tmp_path / "more/bad.mp4").write_bytes(b"this is no video")
  code, out, err = explain(finished, tiny_csv.parent / "p0_0.mp4", "more", "--target=slow", "--output=out")
  assert code == 3 and "1 of 3 files could not be read" in err and "more/bad.mp4" in err
  assert "slow 0." in out and "gradcam -> out/p0_0\n" in out and "-> out/p0_0_2" in out
  folder = tmp_path / "out/p0_0"
  with np.load(folder / "map.npz") as saved:
    assert saved["map"].ndim == 3 and saved["map"].min() >= 0 and saved["title"] == "gradcam, slow"
    assert saved["time_s"].shape == saved["importance"].shape == (8,)
  with av.open(str(folder / "overlay.mp4")) as video:
    shown = [f.to_ndarray(format="rgb24") for f in video.decode(video=0)]
    assert float(video.streams.video[0].average_rate) == pytest.approx(8, rel=0.01)
  assert np.shape(shown) == (8, 168, 168, 3)
  with Image.open(folder / "overlay.gif") as gif:
    assert gif.n_frames == 8 and gif.size == (112, 112) and gif.info["duration"] in (120, 130)
  for name, size in (("sheet.png", (6 * 56, 2 * 56)), ("curve.png", (720, 288))):
    with Image.open(folder / name) as image:
      assert image.size == size


@pytest.mark.parametrize("method", ["integrated_gradients", "integrated_gradients:still", "occlusion",
                                    "gradcam:layer2_00"])
def test_other_methods_write_a_map_too(explain, finished, tiny_csv, tmp_path, method):
  code, out, err = explain(finished, tiny_csv.parent / "p1_0.mp4", f"--method={method}", "--output=out")
  assert (code, err) == (0, "") and method in out
  with np.load(tmp_path / "out/p1_0/map.npz") as saved:
    assert np.isfinite(saved["map"]).all() and np.ptp(saved["map"]) > 0


def test_a_map_is_compared_with_random_ones(explain, finished, tiny_csv):
  code, out, _ = explain(finished, tiny_csv.parent / "p0_0.mp4", "--deletion", "--output=out")
  said = re.search(r"turn black: (\S+); 8 random maps: (\S+) \((\S+) to (\S+)\), ([0-8]) of them above", out)
  assert code == 0 and said, out
  own, mean, low, high, above = map(float, said.groups())
  assert low <= mean <= high and (above == 8) == (own < low) and (above == 0) == (own >= high)


@pytest.mark.parametrize(("flag", "words"), [
    ("--target=quick", ["--target is 'quick'", "'fast'", "'slow'"]),
    ("--method=grad_cam", ["--method is 'grad_cam'", "did you mean 'gradcam'?"]),
    ("--method=rollout", ["resnet has no attention", "--method=gradcam"]),
    ("--method=gradcam:layer9_00", ["resnet has no such block", "layer4_00"])])
def test_a_mistake_exits_2_with_what_is_known(explain, finished, tiny_csv, flag, words):
  code, _, err = explain(finished, tiny_csv.parent / "p0_0.mp4", flag, "--output=out")
  assert code == 2 and "Traceback" not in err
  for word in words:
    assert word in err


def test_remote_files_get_folders_too_and_a_name_is_no_formula(tmp_path):
  used = set()
  assert [command._place(tmp_path, p, used).name for p in ("s3://b/x/a.mp4", tmp_path / "a.avi")] == ["a", "a_2"]
  pictures.write_curve(tmp_path / "curve.png", np.arange(3.0), np.arange(3.0), r"gradcam, a$\frac$b")
  assert (tmp_path / "curve.png").stat().st_size > 1000
