"""`vft inspect`: the pixels on the sheet are those of training, and what data says stays text."""
import base64
import io
import re
import sys

import jax
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tests import tiny
from vft import cli, forward, startup
from vft.contact_sheet import clips, command, sheet
from vft.data import manifest as manifests
from vft.data import pipeline
from vft.errors import ConfigError, DataError

AUGMENT = dict(enabled=True, rotate=10.0, flip=0.5, brightness=0.2, erase=0.5)


def made(csv, folder, **updates):
  """(config, manifest, pixels)."""
  config = tiny.make_config(csv, folder, **updates)
  manifest = manifests.make_manifest(config)
  return config, manifest, forward.make_pixels(config, startup.make_model(config, manifest.tasks))


def test_augmented_copies_are_the_clips_that_training_gets(tiny_csv, tmp_path):
  config, manifest, pixels = made(tiny_csv, tmp_path, augment={**AUGMENT, "copies": 2}, train=dict(batch=4))
  batches = pipeline.train_batches(manifest, config, batch=4, start_step=0)
  batch = next(batches)
  batches.close()
  video = np.asarray(jax.jit(forward.inputs, static_argnames=("pixels", "train"))(
      {k: batch[k] for k in ("video", "row", "copy")}, pixels, True))
  shown, _ = clips.show(manifest, config, pixels, batch["row"], 2)
  for i, clip in enumerate(shown):
    strip = clip.strips[1 + int(batch["copy"][i])]
    np.testing.assert_array_equal(strip.times_s, batch["time_s"][i, 0])
    seen = video[i] * np.array(pixels.std) + np.array(pixels.mean)
    np.testing.assert_allclose(strip.frames / 255, np.clip(seen, 0, 1), atol=0.6 / 255)
    assert clip.strips[0].title == "evaluated" and not np.array_equal(clip.strips[0].frames, strip.frames)


def test_the_range_of_the_input_is_that_of_the_model(tiny_csv, tmp_path):
  config, manifest, pixels = made(tiny_csv, tmp_path, data=dict(channels=1),
                                  model=dict(mean=(0.5,) * 3, std=(0.1,) * 3))
  rows = manifest.rows("train")[:2]
  shown, values = clips.show(manifest, config, pixels, rows, 2)
  batch = next(pipeline.eval_batches(manifest, config, rows, batch=2, views=1))
  video = np.asarray(forward.inputs({k: batch[k] for k in ("video", "row", "copy")}, pixels, False))
  assert [values["low"], values["mean"], values["high"]] == pytest.approx([video.min(), video.mean(), video.max()])
  assert [len(c.strips) for c in shown] == [1, 1]  # augmentation is off
  assert shown[0].strips[0].frames.shape == (8, 56, 56, 3)


def test_clips_are_of_every_class_and_of_other_patients_first(tiny_csv, tmp_path):
  _, manifest, _ = made(tiny_csv, tmp_path)
  rows = clips.choose(manifest, "train", 4, 0)
  assert manifest.table.label.iloc[rows].tolist() == ["fast", "fast", "slow", "slow"]
  assert len(set(manifest.groups(rows))) == 4
  assert sorted(clips.choose(manifest, "train", 99, 0)) == sorted(manifest.rows("train"))
  with pytest.raises(DataError, match="--split=train"):
    clips.choose(manifest, "fold_1", 4, 0)


def test_a_page_and_a_picture_are_written_and_names_stay_text(tiny_csv, tmp_path, monkeypatch, capsys):
  hostile = 'fast <script>alert(1)</script> "&'
  pd.read_csv(tiny_csv).replace({"label": {"fast": hostile}}).to_csv(tiny_csv.parent / "hostile.csv", index=False)
  tiny.write_config_file(tmp_path / "tiny.py", tiny_csv.parent / "hostile.csv", augment=AUGMENT)
  monkeypatch.setattr(sys, "argv", ["vft", "inspect", f"--config={tmp_path}/tiny.py", "--clips=3", "--frames=4",
                                    f"--workdir={tmp_path}/out", "--config.data.fps=4", "--split=val"])
  assert cli.main() == 0
  assert "3 clips" in capsys.readouterr().out
  page = (tmp_path / "out/inspect.html").read_text()
  assert "<script" not in page and "fast &lt;script&gt;alert(1)" in page
  assert not re.search(r'(src|srcset|href)="(?!data:)', page)
  assert "8 frames at 4 Hz: 2 s" in page and "frames repeat the one before" in page and "patient p" in page
  assert "rotate=10.0" in page and "magnitude" not in page
  strips = re.findall(r'<figure><img src="data:image/webp;base64,([^"]+)" width="(\d+)" height="112" alt="Frames', page)
  assert len(strips) == 9  # as evaluated and two copies of each
  picture = Image.open(io.BytesIO(base64.b64decode(strips[0][0])))
  assert picture.size == (4 * 112 + 3 * sheet.GAP, 112) == (int(strips[0][1]), 112)
  drawn = np.asarray(Image.open(tmp_path / "out/inspect.png"))
  assert drawn.shape[0] > 9 * 112 and drawn.shape[1] > picture.size[0]
  assert (drawn[-1] == 255).all() and (drawn.std(axis=(0, 1)) > 20).all()


def test_what_cannot_be_shown_is_said(tiny_csv, tmp_path):
  config, manifest, pixels = made(tiny_csv, tmp_path)
  with pytest.raises(ConfigError, match="--clips is 0; expected 1 or more"):
    command.inspect(config, tmp_path / "out", count=0)
  (tiny_csv.parent / "p0_0.mp4").rename(tiny_csv.parent / "gone.mp4")
  try:
    rows = manifest.table.index[manifest.table.path == "p0_0.mp4"].to_numpy()
    with pytest.raises(DataError, match="None of the 1 clips could be decoded"):
      clips.show(manifest, config, pixels, rows, 0)
  finally:
    (tiny_csv.parent / "gone.mp4").rename(tiny_csv.parent / "p0_0.mp4")


def test_a_picture_of_a_large_frame_is_made_smaller_and_of_a_small_one_larger():
  for side, shown in ((224, sheet.LARGEST), (112, 112), (40, 120)):
    strip = clips.Strip("x", np.zeros((5, side, side, 3), np.uint8), np.arange(5.0))
    assert sheet.row_of(strip, 2).shape == (shown, 2 * shown + sheet.GAP, 3)
