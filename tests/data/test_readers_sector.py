from pathlib import Path

import data_store
import numpy as np
import pytest
from PIL import Image, ImageDraw

from configs import default
from tests.clips import frames, write_clip
from vft import config as configs
from vft.data import readers
from vft.data.readers import sector
from vft.errors import ConfigError, DataError

LIMIT = 10_000_000
ECHO = str(Path(data_store.__path__[0]) / "data/color3d_jpeg_baseline.dcm")


def read(path, *times_s, resize=64, **how):
  return readers.read_clip(path, np.array(times_s), resize=resize, max_pixels=LIMIT, **how)


def scan(count=16, height=120, width=160, text=True, noise=0):
  """A fan of speckle that changes, letters and a scale around it that do not, and the line of an ECG that moves."""
  rng = np.random.default_rng(0)
  shape = Image.new("1", (width, height))
  ImageDraw.Draw(shape).pieslice((-10, -75, 170, 105), 50, 130, fill=1)
  fan, video = np.asarray(shape), np.zeros((count, height, width, 3), np.uint8)
  for i in range(count):
    image = Image.new("L", (width, height))
    pen = ImageDraw.Draw(image)
    if text:
      pen.text((2, 2), "DOE JANE", fill=255)
      pen.text((118, 20), "MI 0.9", fill=255)
      pen.rectangle((0, 110, 159, 119), fill=90)
      pen.line([(x, 104 + round(3 * np.sin(x / 3 + i))) for x in range(0, 50, 2)], fill=255)
    grey = np.asarray(image) + fan * rng.integers(0, 120, fan.shape) + rng.integers(0, noise + 1, fan.shape)
    video[i] = np.clip(grey, 0, 255).astype(np.uint8)[..., None]
  return video, fan


@pytest.mark.parametrize("noise, crf", [(0, 1), (0, 30), (6, 10)])
def test_the_sector_is_found_and_what_surrounds_it_is_gone(tmp_path, noise, crf):
  video, fan = scan(noise=noise)
  path = write_clip(tmp_path / "a.mp4", video, crf=crf)
  clip = read(path, 0.0, 0.8, resize=96, crop="sector")
  assert (clip > 170).mean() < 0.0005 and clip.mean() > 20  # only letters and lines shine so
  assert (read(path, 0.0, 0.8, resize=96) > 170).mean() > 0.001
  rows, columns = np.flatnonzero(fan.any(1)), np.flatnonzero(fan.any(0))
  corners = np.array(readers._sector(path, readers.Decoding(LIMIT, crop="sector")).corners) * (160, 120)
  found = [*corners.min(0), *corners.max(0)]
  assert np.abs(np.subtract(found, [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])).max() <= 8


def test_the_real_echo_keeps_its_sector_and_loses_its_text():
  corners = np.array(readers._sector(ECHO, readers.Decoding(LIMIT, crop="sector")).corners) * (640, 480)
  assert np.abs(corners.min(0) - (84, 42)).max() <= 12 and np.abs(corners.max(0) - (597, 407)).max() <= 12
  clip = read(ECHO, 0.0, 1.0, resize=224, crop="sector")
  outside = np.ones((480, 640), bool)  # text, scale, menu and the green mark of the probe
  outside[42:408, 84:598] = False
  assert clip.mean() > 8
  spread = clip.astype(int).max(-1) - clip.min(-1)
  assert spread.max() <= 6  # only the text, the mark and the menu have colour
  text = sector.Sector(tuple((x / 640, y / 480) for x, y in corners)).cut(np.where(outside, 255, 0).astype(
      np.uint8)[..., None].repeat(3, -1))
  assert not text[4:-4, 4:-4].max(initial=0) or (text > 0).mean() < 0.02


def test_a_still_image_is_cut_by_its_light(tmp_path):
  video, fan = scan(4)
  video[:] = video[:1]
  shown = read(write_clip(tmp_path / "a.mp4", video), 0.0, crop="sector")
  assert 0.3 < (shown > 10).mean() < 0.9 and fan.any()


def test_without_anything_to_see_there_is_no_sector(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(10, 96, 128, first=0, step=0))
  with pytest.raises(DataError, match="no ultrasound sector"):
    read(path, 0.0, crop="sector")
  with pytest.raises(DataError, match="no ultrasound sector"):
    readers.probe(path, max_pixels=LIMIT, crop="sector")


def test_a_video_that_was_cut_before_stays_whole(tmp_path):
  video = np.random.default_rng(0).integers(0, 255, (8, 64, 64, 3), dtype=np.uint8)
  path = write_clip(tmp_path / "a.mp4", video)
  assert np.abs(read(path, 0.3, crop="sector").astype(int) - read(path, 0.3)).mean() < 12


def test_a_sector_is_found_once_for_a_file(tmp_path, monkeypatch):
  path, calls = write_clip(tmp_path / "a.mp4", scan()[0]), []
  find = readers.find_sector
  monkeypatch.setattr(readers, "find_sector", lambda looks: calls.append(1) or find(looks))
  for _ in range(3):
    read(path, 0.0, crop="sector")
  assert len(calls) == 1


def test_boxes_are_black_in_the_upright_frame_before_it_is_cropped(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(4, 48, 64, first=200, step=0))
  shown = read(path, 0.0, resize=48, mask=((0.0, 0.0, 0.5, 0.25), (0.75, 0.5, 1.0, 1.0)))[0, :, :, 0]
  assert shown[:12, :24].max() == 0 and shown[24:, 40:].max() == 0  # the square begins at column 8 of 64
  assert shown[14:, :38].min() > 150 and shown[:22, 26:].min() > 150


def test_a_box_covers_what_lies_below_it_in_dicom_and_in_the_search_for_the_sector():
  assert read(ECHO, 0.0, mask=((0.0, 0.0, 1.0, 1.0),)).max() == 0
  with pytest.raises(DataError, match="no ultrasound sector"):
    read(ECHO, 0.0, mask=((0.0, 0.0, 1.0, 1.0),), crop="sector")


@pytest.mark.parametrize("field, value, message", [
    ("mask", ((0.0, 0.0, 1.0, 2.0),), r"expected boxes \(x0, y0, x1, y1\)"),
    ("mask", (0.0, 0.0, 1.0, 0.1), r"expected boxes \(x0, y0, x1, y1\)"),
    ("window", (100.0,), r"expected \(centre, width\)"), ("window", (100.0, 0.0), r"expected \(centre, width\)"),
    ("crop", "secter", "did you mean 'sector'"), ("frame_rate", -1.0, "expected 0 to")])
def test_bad_values_are_named(field, value, message):
  config = default.get_config()
  config.data.update({"source": "csv:a.csv", field: value})
  with pytest.raises(ConfigError, match=message):
    configs.check(config)
