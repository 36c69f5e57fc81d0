"""A control on the border of the picture: it warns of a label that is written there, and else does not."""
import csv
import sys

import numpy as np
import pytest

from configs import default
from tests import tiny
from tests.clips import write_clip
from vft import cli, shortcut, tasks
from vft.data import readers


def make_csv(folder, told):
  """Noise, 96 x 64; where `told` its left or right edge is bright, by its class."""
  rng, rows = np.random.default_rng(0), [("path", "label", "group")]
  for p in range(24):
    video = rng.integers(60, 120, (16, 64, 96, 3)).astype(np.uint8)
    if told and p % 2:
      video[:, :, 16:20] = 255  # the edge of the middle square
    write_clip(folder / f"p{p}.mp4", video, fps=16)
    rows.append((f"p{p}.mp4", tiny.CLASSES[p % 2], f"p{p}"))
  with (folder / "clips.csv").open("w", newline="") as file:
    csv.writer(file).writerows(rows)
  return folder / "clips.csv"


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_label_written_on_the_border_is_found(tmp_path, monkeypatch, capsys, told):
  path = tiny.write_config_file(tmp_path / "mine.py", make_csv(tmp_path, told), train=dict(epochs=8, batch=4))
  monkeypatch.setattr(sys, "argv", ["vft", "check", str(path), "--shortcut", f"--output={tmp_path / 'out'}"])
  assert cli.main() == 0
  out = capsys.readouterr().out
  assert ("WARNING: from the border alone, auroc per video is" in out) is told
  assert ("no figure is above chance" in out) is not told


@pytest.mark.parametrize(("width", "height"), [(96, 64), (64, 96), (64, 64)])
def test_the_centre_of_the_square_is_black_and_its_border_is_whole(tmp_path, width, height):
  path = write_clip(tmp_path / "a.mp4", np.full((4, height, width, 3), 200, np.uint8))
  config = default.get_config()
  config.data.update(size=40, resize=64)
  data = shortcut.border_only(config, width / height).data
  (clip,) = readers.read_clip(path, np.zeros(1), resize=data.resize, **readers.options(data))
  lit = (clip > 100).all(-1)
  assert data.resize == 40 and lit[:4].all() and lit[-4:].all() and lit[:, :4].all() and lit[:, -4:].all()
  assert lit[5:-5, 5:-5].sum() == 0


@pytest.mark.parametrize(("kind", "figure", "low", "found"), [
    ("single", "auroc", 0.51, True), ("single", "auroc", 0.49, False), ("single", "balanced_accuracy", 0.4, True),
    ("single", "accuracy", 0.9, False), ("regression", "r2", 0.1, True), ("ordinal", "quadratic_kappa", -0.1, False),
    ("multi", "auroc", None, False)])
def test_above_chance_is_an_interval_that_leaves_chance_out(kind, figure, low, found):
  task = tasks.Task("x", kind, ("a", "b", "c"))
  result = {"data": {"tasks": tasks.to_json([task])}, "test": {"video": {figure: dict(value=1.0, low=low, high=1.0)}}}
  assert bool(list(shortcut.above_chance(result))) is found
