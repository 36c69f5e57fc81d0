import numpy as np
import pytest

from tests.layouts import camus as tiny_camus
from vft.data import readers
from vft.errors import DataError


def test_nifti_is_shown_upright_with_width_first(tmp_path):
  video = np.zeros((3, 20, 30), np.uint8)  # (T, H, W)
  video[:, :5] = 200  # the probe is at the top
  video[2, 10:, :15] = 100
  tiny_camus.save(tmp_path / "a.nii.gz", video)
  content = readers.FrameFolder(str(tmp_path / "a.nii.gz"), 10.0)
  info = readers.probe(content, max_pixels=10**6)
  assert (info.width, info.height, info.fps) == (30, 20, 10.0) and info.duration_s == pytest.approx(0.3)
  first, last = readers.read_clip(content, np.array([0.0, 0.2]), resize=20, max_pixels=10**6)
  assert first.shape == (20, 20, 3) and (first[:5] == 200).all() and (first[5:] == 0).all()
  assert (last[12:, :8] == 100).all() and (last[12:, 12:] == 0).all()
  with pytest.raises(DataError, match=r"without a frame rate: give --config\.data\.frame_rate=HZ"):
    readers.probe(str(tmp_path / "a.nii.gz"), max_pixels=10**6)
  assert readers.probe(str(tmp_path / "a.nii.gz"), max_pixels=10**6, frame_rate=30.0).duration_s == pytest.approx(0.1)


def test_nifti_values_of_more_than_8_bits_fill_the_grey_scale_and_8_bits_stay(tmp_path):
  ramp = np.linspace(0, 4000, 400).reshape(1, 20, 20).astype(np.int16)
  for values, low, high in ((ramp, 0, 255), (ramp // 40, 0, 100)):
    tiny_camus.save(tmp_path / "a.nii", values)
    content = readers.FrameFolder(str(tmp_path / "a.nii"), 1.0)
    clip = readers.read_clip(content, np.zeros(1), resize=20, max_pixels=10**6)
    assert clip.min() == low and clip.max() == high


def test_a_damaged_nifti_file_is_a_reason_of_one_line(tmp_path):
  tiny_camus.save(tmp_path / "a.nii.gz", np.random.default_rng(0).integers(0, 255, (3, 20, 30), np.uint8))
  whole = (tmp_path / "a.nii.gz").read_bytes()
  for data, message in ((whole[:900], "damaged"), (b"hello" * 100, "not NIfTI, or damaged"), (b"", "empty file")):
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(DataError, match=message) as e:
      readers.probe(str(tmp_path / "a.nii.gz"), max_pixels=10**6, frame_rate=10.0)
    assert "\n" not in str(e.value)
