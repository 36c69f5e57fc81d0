import io
import os
import re
import tracemalloc

import numpy as np
import pytest

from tests.clips import frames, rotate_90, write_audio, write_clip
from vft.data import readers
from vft.errors import DataError

LIMIT = 10_000_000


def read(path, *times_s, resize=16):
  return readers.read_clip(path, np.array(times_s), resize=resize, max_pixels=LIMIT)


def numbers(path, *times_s):
  """Which frame of tests.clips.frames() was shown at each time."""
  return [round((int(v) - 20) / 20) for v in read(path, *times_s)[:, 8, 8, 0]]


def fault(path, limit=LIMIT):
  with pytest.raises(DataError) as e:
    readers.probe(path, max_pixels=limit)
  return str(e.value)


def noise(count=60):
  return np.random.default_rng(0).integers(0, 255, (count, 48, 64, 3), dtype=np.uint8)


def test_the_nearest_frame_in_time_is_shown_and_the_last_one_repeated(tmp_path):
  path = write_clip(tmp_path / "a.mp4")
  assert numbers(path, 0, 0.04, 0.06, 0.5, 0.9, 1.0, 7.0) == [0, 0, 1, 5, 9, 9, 9]


def test_times_may_come_in_any_order(tmp_path):
  assert numbers(write_clip(tmp_path / "a.mp4"), 0.5, 0.1, 0.5, 0.0) == [5, 1, 5, 0]


def test_variable_frame_rate_is_sampled_by_time(tmp_path):
  path = write_clip(tmp_path / "a.mp4", pts_ms=[0, 10, 20, 500, 520, 4000, 4200, 8000, 8500, 9000])
  assert numbers(path, 0.02, 0.4, 4.2, 7.0, 8.9) == [2, 3, 6, 7, 9]


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.ts", "a.h264", "a.mpg"])
def test_a_seek_shows_the_same_frames_as_decoding_from_the_start(tmp_path, name):
  video = noise(40)
  codec = {"a.webm": "libvpx-vp9", "a.mpg": "mpeg2video"}.get(name, "libx264")
  path = write_clip(tmp_path / name, video, gop=8, fps=25, codec=codec)
  times = np.arange(40) / 25
  whole = read(path, *times)
  for first in (1, 13, 24, 38):
    assert (read(path, *times[first:first + 2]) == whole[first:first + 2]).all()


@pytest.mark.parametrize("name, codec, pix_fmt", [
    ("a.mkv", "ffv1", "gray"), ("a.mkv", "ffv1", "gray16le"), ("a.webm", "libvpx-vp9", "yuv420p"),
    ("a.gif", "gif", "rgb8"), ("a.avi", "mjpeg", "yuvj420p"), ("a.mov", "libx264", "yuv420p10le")])
def test_formats_without_a_frame_count_and_other_pixel_types_show_the_same_values(tmp_path, name, codec, pix_fmt):
  path = write_clip(tmp_path / name, codec=codec, pix_fmt=pix_fmt)
  shown = read(path, 0.0, 0.5, 0.9)[:, 8, 8].astype(int)
  assert np.abs(shown - np.array([[20], [120], [200]])).max() <= (13 if name == "a.gif" else 2)
  info = readers.probe(path, max_pixels=LIMIT)
  assert (info.duration_s, info.fps, info.width, info.height) == (pytest.approx(1.0), pytest.approx(10.0), 64, 48)


def test_odd_sizes_are_read(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(4, 47, 63), pix_fmt="yuv444p")
  assert read(path, 0.1, resize=31).shape == (1, 31, 31, 3)
  assert readers.probe(path, max_pixels=LIMIT).width == 63


def test_a_phone_video_is_turned_upright(tmp_path):
  video = frames(4, 48, 64, first=20, step=0)
  video[:, :, 32:] = 220  # the right half is bright: after a quarter turn clockwise, the lower half
  path = write_clip(tmp_path / "a.mp4", video)
  rotate_90(path)
  pixels = read(path, 0.0)[0, :, :, 0]
  assert pixels[:6].max() < 30 and pixels[10:].min() > 210
  info = readers.probe(path, max_pixels=LIMIT)
  assert (info.width, info.height) == (48, 64)


def test_the_centre_square_is_kept(tmp_path):
  video = frames(2, 32, 96, first=20, step=0)
  video[:, :, 32:64] = 220
  assert read(write_clip(tmp_path / "a.mp4", video), 0.0, resize=32)[0, :, 2:-2].min() > 200


def test_one_frame_is_a_video(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(1))
  assert numbers(path, 0, 1, 2) == [0, 0, 0]
  assert readers.probe(path, max_pixels=LIMIT).duration_s == pytest.approx(0.1)


def test_bytes_and_file_are_read_alike(tmp_path):
  path = write_clip(tmp_path / "a.mp4", noise(10))
  with open(path, "rb") as file:
    assert (read(file.read(), 0.3, 0.4) == read(path, 0.3, 0.4)).all()


def test_what_is_no_video_is_named(tmp_path):
  (tmp_path / "empty.mp4").touch()
  (tmp_path / "text.mp4").write_text("hello, this is a page")
  write_clip(tmp_path / "a.mp4")
  (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")  # FFmpeg would follow it
  (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
  os.mkfifo(tmp_path / "pipe.mp4")
  assert fault(str(tmp_path / "empty.mp4")) == fault(b"") == "empty file"
  assert fault(str(tmp_path / "text.mp4")).startswith("not a video: starts with 'hello, this")
  assert fault(str(tmp_path / "list.mp4")).startswith("not a video: starts with 'ffconcat ver")
  assert fault(write_audio(tmp_path / "audio.mp4")) == "no video stream (found: audio)"
  assert fault(str(tmp_path / "none.mp4")) == f"no such file: {os.path.realpath(tmp_path)}/none.mp4"
  assert "nowhere.mp4 (a broken link)" in fault(str(tmp_path / "link.mp4"))
  assert fault(str(tmp_path)) == "a folder, not a file"
  assert fault(str(tmp_path / "pipe.mp4")) == "not a regular file"
  assert fault(b"\0\0\0\x10ftypisom\0\0\0\0" b"\0\0\0\0mdat" + bytes(99)) == "cut off: moov atom missing; copy it again"
  assert fault("http://127.0.0.1:9/a.mp4").startswith("no such file")


@pytest.mark.parametrize("name, faststart, start", [
    ("a.mp4", False, "cut off: moov atom missing"), ("a.mp4", True, r"cut off: \d+ of \d+ bytes"),
    ("a.mkv", False, r"cut off: \d.\d of 6.0 s")])
def test_a_cut_file_is_found_out(tmp_path, name, faststart, start):
  path = tmp_path / name
  write_clip(path, noise(), faststart=faststart)
  path.write_bytes(path.read_bytes()[:int(0.6 * path.stat().st_size)])
  assert re.match(start, fault(str(path)))


@pytest.mark.parametrize("share, start", [(0.0, "damaged: no frame can be decoded"), (0.7, "damaged: decoding stops")])
def test_damage_is_found_out_at_the_start_and_at_the_end(tmp_path, share, start):
  path = tmp_path / "a.mp4"
  write_clip(path, noise(), faststart=True)
  data = bytearray(path.read_bytes())
  payload = data.index(b"mdat") + 4
  begin = payload + int(share * (len(data) - payload))
  data[begin:] = np.random.default_rng(0).integers(0, 255, len(data) - begin, dtype=np.uint8).tobytes()
  path.write_bytes(data)
  assert fault(str(path)).startswith(start)
  with pytest.raises(DataError, match="damaged"):
    read(str(path), 0.0, 5.9)


def test_a_huge_frame_is_refused_before_decoding(tmp_path):
  path = write_clip(tmp_path / "a.mp4")
  assert fault(path, 3000) == "frame 64x48 over data.max_pixels 3000"
  with pytest.raises(DataError, match=r"over data\.max_pixels"):
    readers.read_clip(path, np.zeros(1), resize=8, max_pixels=3000)


def test_a_thin_frame_is_refused_as_scaling_it_would_fill_the_memory(tmp_path):
  assert "one side over 20 times the other" in fault(write_clip(tmp_path / "a.mp4", frames(2, 16, 640)))


def test_memory_is_bound_by_the_clip_not_by_the_video(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(3000, 32, 32, step=0), fps=25, gop=50)
  tracemalloc.start()
  read(path, *(100 + np.arange(8) / 25))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1_000_000


def test_a_change_of_size_in_mid_stream_is_read(tmp_path):
  parts = io.BytesIO()
  write_clip(parts, frames(5), container="h264")
  write_clip(parts, frames(5, 96, 128, first=120), container="h264")
  (tmp_path / "a.h264").write_bytes(parts.getvalue())
  assert numbers(str(tmp_path / "a.h264"), 0.0, 0.16, 0.36) == [0, 4, 9]
