"""Decoding of wanted and needed frames only: the same pixels as from decoding all, with fewer frames decoded."""
import itertools

import numpy as np
import pytest

from tests.clips import write_clip
from vft.data import readers
from vft.data.readers import sparing, video

TIMES = (np.arange(4) * 0.37 + 1.9, np.arange(8) * 0.04 + 0.5, np.linspace(0, 9, 6), np.array([0.0, 0.0, 3.2, 3.2, 99]))
ENCODED = {  # suffix, codec, its settings
    "plain": ("mp4", "libx264", {}),
    "many key frames": ("mp4", "libx264", {"g": "12"}),
    "open groups": ("mp4", "libx264", {"x264-params": "open-gop=1:keyint=20:bframes=5:scenecut=0"}),
    "refresh without key frames": ("mp4", "libx264", {"x264-params": "intra-refresh=1:keyint=20"}),
    "no B-frames": ("mp4", "libx264", {"tune": "zerolatency", "g": "30"}),
    "matroska": ("mkv", "libx264", {"g": "30", "bf": "8"}),
    "hevc": ("mp4", "libx265", {"x265-params": "log-level=none:keyint=40"}),
    "hevc, open groups": ("mkv", "libx265", {"x265-params": "log-level=none:keyint=40:open-gop=1"}),
    "transport stream": ("ts", "libx264", {"g": "30"}),
    "avi": ("avi", "libx264", {"g": "30"}),
    "vp9": ("webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8"}),
}


@pytest.fixture(scope="module", params=ENCODED)
def path(request, tmp_path_factory):
  """A video of 250 frames whose squares move, its time stamps uneven."""
  suffix, codec, settings = ENCODED[request.param]
  rng = np.random.default_rng(0)
  picture = np.kron(rng.integers(0, 255, (9, 11, 3)), np.ones((8, 8, 1)))
  frames = np.stack([np.roll(picture, (k // 2, k), (0, 1))[:48, :64] for k in range(250)]).astype(np.uint8)
  stamps = None if suffix in ("ts", "avi") else np.cumsum(rng.integers(5, 75, 250)).tolist()
  return write_clip(tmp_path_factory.mktemp("video") / f"v.{suffix}", frames, fps=25, codec=codec, pts_ms=stamps,
                    settings=settings)


def test_the_frames_are_those_of_decoding_everything(path, monkeypatch):
  found = [readers.read_clip(path, times, resize=32, max_pixels=10**6) for times in TIMES]
  monkeypatch.setattr(sparing, "CODECS", ())
  for clip, times in zip(found, TIMES, strict=True):
    np.testing.assert_array_equal(clip, readers.read_clip(path, times, resize=32, max_pixels=10**6))


@pytest.fixture
def plain(tmp_path):
  """1000 frames, a group of at most 250."""
  picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
  frames = np.stack([picture[k % 300:, k % 300:][:32, :32] for k in range(1000)])
  return write_clip(tmp_path / "v.mp4", frames, fps=25, settings={"x264-params": "keyint=250:scenecut=0"})


def looked_at(plain, times, monkeypatch):
  """Frames that come out of the decoder for these times."""
  out, check = [], sparing.check_size
  monkeypatch.setattr(sparing, "check_size", lambda *args: out.append(args) or check(*args))
  monkeypatch.setattr(video, "check_size", lambda *args: out.append(args) or check(*args))
  readers.read_clip(plain, times, resize=16, max_pixels=10**6)
  return len(out) - 1  # opening checks the size, too


def test_frames_that_nothing_needs_are_not_decoded(plain, monkeypatch):
  assert looked_at(plain, np.array([9.9]), monkeypatch) < 0.8 * 248


def test_of_groups_without_a_wanted_frame_none_is_decoded(plain, monkeypatch):
  assert looked_at(plain, np.array([0.0, 10.0, 30.0]), monkeypatch) < 12


def test_a_video_that_cannot_be_had_so_is_decoded_from_the_first_missing_frame_on(plain, monkeypatch):
  times, real = np.arange(6) / 5, sparing.frames_at
  whole = readers.read_clip(plain, times, resize=16, max_pixels=10**6)
  monkeypatch.setattr(sparing, "frames_at", lambda *args: itertools.islice(real(*args), 3))
  np.testing.assert_array_equal(readers.read_clip(plain, times, resize=16, max_pixels=10**6), whole)
