import io
import os
import re
import subprocess
import sys
import tracemalloc

import av
import numpy as np
import pytest

from configs import default
from tests.clips import frames, rotate_90, write_audio, write_clip
from vft.data import manifest, readers
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


@pytest.mark.fault("F7", "variable frame rate", "frames chosen by time stamp")
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


@pytest.mark.fault("F12", "10-bit h264, HEVC and AV1", "same values as of 8 bits")
@pytest.mark.fault("F14", "mkv, webm and gif without a frame count", "read; length known")
@pytest.mark.parametrize("name, codec, pix_fmt", [
    ("a.mkv", "ffv1", "gray"), ("a.mkv", "ffv1", "gray16le"), ("a.webm", "libvpx-vp9", "yuv420p"),
    ("a.gif", "gif", "rgb8"), ("a.avi", "mjpeg", "yuvj420p"), ("a.mov", "libx264", "yuv420p10le"),
    ("a.mp4", "libx265", "yuv420p"), ("a.mkv", "libx265", "yuv420p10le"), ("a.webm", "libsvtav1", "yuv420p"),
    ("a.mp4", "libsvtav1", "yuv420p10le")])
def test_formats_without_a_frame_count_and_other_pixel_types_show_the_same_values(tmp_path, name, codec, pix_fmt):
  path = write_clip(tmp_path / name, codec=codec, pix_fmt=pix_fmt)
  assert os.sched_getscheduler(0) == os.SCHED_OTHER
  shown = read(path, 0.0, 0.5, 0.9)[:, 8, 8].astype(int)
  assert np.abs(shown - np.array([[20], [120], [200]])).max() <= (13 if name == "a.gif" else 2)
  info = readers.probe(path, max_pixels=LIMIT)
  assert (info.duration_s, info.fps, info.width, info.height) == (pytest.approx(1.0), pytest.approx(10.0), 64, 48)


def write_grey(path, values, pix_fmt="gray16le"):
  """(T, H, W) uint16 as FFV1, values as they are."""
  with av.open(str(path), "w") as out:
    stream = out.add_stream("ffv1", rate=10)
    stream.width, stream.height, stream.pix_fmt = values.shape[2], values.shape[1], pix_fmt
    for grey in values:
      out.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format=pix_fmt)))
    out.mux(stream.encode())
  return str(path)


@pytest.mark.fault("F13", "grey video of 16 bits", "three channels, windowed as configured")
@pytest.mark.parametrize("window, expected", [((), [0, 8]), ((1000, 2000), [0, 255]), ((2000, 4000), [0, 128])])
def test_grey_of_16_bits_is_windowed_as_configured(tmp_path, window, expected):
  values = np.zeros((2, 48, 64), np.uint16)
  values[1] = 2000
  path = write_grey(tmp_path / "a.mkv", values)
  shown = readers.read_clip(path, np.array([0.0, 0.1]), resize=16, max_pixels=LIMIT, window=window)[:, 8, 8]
  assert np.abs(shown.astype(int) - np.array(expected)[:, None]).max() <= 1


def test_a_window_leaves_colour_as_it_is(tmp_path):
  path = write_clip(tmp_path / "a.mp4")
  assert (readers.read_clip(path, np.array([0.5]), resize=16, max_pixels=LIMIT, window=(5, 5)) == read(path, 0.5)).all()


@pytest.mark.fault("F15", "first time stamp is not 0", "time counts from the first frame")
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_time_counts_from_the_first_frame_whatever_its_stamp(tmp_path, name):
  path = write_clip(tmp_path / name, pts_ms=[7000 + 100 * i for i in range(10)])
  assert numbers(path, 0, 0.3, 0.9) == [0, 3, 9]
  assert readers.probe(path, max_pixels=LIMIT).duration_s == pytest.approx(1.0, abs=0.01)


@pytest.mark.fault("F11", "63 x 47 pixels", "read")
def test_odd_sizes_are_read(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(4, 47, 63), pix_fmt="yuv444p")
  assert read(path, 0.1, resize=31).shape == (1, 31, 31, 3)
  assert readers.probe(path, max_pixels=LIMIT).width == 63


@pytest.mark.fault("F8", "rotated video of a phone", "frames upright")
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


@pytest.mark.fault("F9", "one-frame video", "its frame is repeated")
def test_one_frame_is_a_video(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(1))
  assert numbers(path, 0, 1, 2) == [0, 0, 0]
  assert readers.probe(path, max_pixels=LIMIT).duration_s == pytest.approx(0.1)


def test_bytes_and_file_are_read_alike(tmp_path):
  path = write_clip(tmp_path / "a.mp4", noise(10))
  with open(path, "rb") as file:
    assert (read(file.read(), 0.3, 0.4) == read(path, 0.3, 0.4)).all()


@pytest.mark.fault("F5", "text named .mp4", 'skipped: "not a video: starts with \'hello\'"')
@pytest.mark.fault("F6", "a file with sound only", "skipped: 'no video stream (found: audio)'")
@pytest.mark.fault("F24", "missing file, broken link, folder or pipe named .mp4",
                   "skipped, each by its reason and resolved path")
def test_what_is_no_video_is_named(tmp_path):
  (tmp_path / "empty.mp4").touch()
  (tmp_path / "text.mp4").write_text("hello, this is a page")
  write_clip(tmp_path / "a.mp4")
  (tmp_path / "list.mp4").write_text("ffconcat version 1.0\nfile a.mp4\n")  # FFmpeg would follow it
  (tmp_path / "link.mp4").symlink_to("nowhere.mp4")
  os.mkfifo(tmp_path / "pipe.mp4")
  (tmp_path / "sub.mp4").mkdir()
  assert fault(str(tmp_path / "empty.mp4")) == fault(b"") == "empty file"
  assert fault(str(tmp_path / "text.mp4")).startswith("not a video: starts with 'hello, this")
  assert fault(str(tmp_path / "list.mp4")).startswith("not a video: starts with 'ffconcat ver")
  assert fault(write_audio(tmp_path / "audio.mp4")) == "no video stream (found: audio)"
  assert fault(str(tmp_path / "none.mp4")) == f"no such file: {os.path.realpath(tmp_path)}/none.mp4"
  assert "nowhere.mp4 (a broken link)" in fault(str(tmp_path / "link.mp4"))
  assert fault(str(tmp_path / "sub.mp4")) == "a folder without frames (png, jpg, bmp), not a file"
  assert fault(str(tmp_path / "pipe.mp4")) == "not a regular file"
  assert fault(b"\0\0\0\x10ftypisom\0\0\0\0" b"\0\0\0\0mdat" + bytes(99)) == "cut off: moov atom missing; copy it again"
  assert fault("http://127.0.0.1:9/a.mp4").startswith("no such file")


@pytest.mark.fault("F2", "mp4 cut off before its index", "skipped: 'cut off: moov atom missing; copy it again'")
@pytest.mark.fault("F3", "mp4 with its index first, and mkv, cut off", "skipped: 'cut off: 1234 of 2057 bytes'")
@pytest.mark.parametrize("name, faststart, start", [
    ("a.mp4", False, "cut off: moov atom missing"), ("a.mp4", True, r"cut off: \d+ of \d+ bytes"),
    ("a.mkv", False, r"cut off: \d.\d of 6.0 s")])
def test_a_cut_file_is_found_out(tmp_path, name, faststart, start):
  path = tmp_path / name
  write_clip(path, noise(), faststart=faststart)
  path.write_bytes(path.read_bytes()[:int(0.6 * path.stat().st_size)])
  assert re.match(start, fault(str(path)))


@pytest.mark.fault("F4", "random bytes in the payload, at its start or end", "skipped: 'damaged: ...'")
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


@pytest.mark.fault("F17", "16384 x 16384 frame in few bytes", "skipped before decoding: 'over data.max_pixels'")
def test_a_bomb_of_few_bytes_is_refused_by_its_header(tmp_path):
  path = tmp_path / "a.avi"
  write_clip(path, codec="ffv1")
  data = bytearray(path.read_bytes())
  at = data.index(b"strf") + 12  # width and height of BITMAPINFOHEADER
  data[at:at + 8] = 2 * (16384).to_bytes(4, "little")
  path.write_bytes(data)
  assert "over data.max_pixels 64000000" in fault(str(path), 64_000_000)


@pytest.mark.fault("F17", "3072 x 3072 frame over the limit", "refused; less memory than one frame")
@pytest.mark.parametrize("name, codec", [("a.mp4", "libx264"), ("a.webm", "libvpx-vp9"), ("a.mkv", "ffv1")])
def test_a_large_frame_is_not_even_decoded_by_opening_its_file(tmp_path, name, codec):
  path = write_clip(tmp_path / name, np.broadcast_to(np.uint8(0), (1, 3072, 3072, 3)), codec=codec)
  code = f"""if True:
    from vft.data import readers
    def peak():
      with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])
    before = peak()
    try:
      readers.probe({path!r}, max_pixels=1_000_000)
    except ValueError as e:
      print(peak() - before, e)"""
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
  assert int(out.split()[0]) < 14_000 and "over data.max_pixels 1000000" in out  # kB; a frame has 14,000


def test_a_thin_frame_is_refused_as_scaling_it_would_fill_the_memory(tmp_path):
  assert "one side over 20 times the other" in fault(write_clip(tmp_path / "a.mp4", frames(2, 16, 640)))


@pytest.mark.fault("F16", "3,000 frames, 8 of them read", "under 1 MB of arrays")
def test_memory_is_bound_by_the_clip_not_by_the_video(tmp_path):
  path = write_clip(tmp_path / "a.mp4", frames(3000, 32, 32, step=0), fps=25, gop=50)
  tracemalloc.start()
  read(path, *(100 + np.arange(8) / 25))
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 1_000_000


@pytest.mark.fault("F16", "36,000 frames, 8 of them read", "under 60 MB, whole process")
@pytest.mark.long
def test_an_hour_of_video_takes_no_more_memory_than_a_minute(tmp_path):
  """36,000 frames; the whole process counts, FFmpeg as well."""
  path = write_clip(tmp_path / "a.mp4", np.broadcast_to(np.uint8(90), (36_000, 64, 64, 3)), fps=10, gop=100)
  code = f"""if True:
    import time, numpy as np
    from vft.data import readers
    def peak():  # not getrusage: its peak is handed down from the process that started this one
      with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])
    before, start = peak(), time.perf_counter()
    for first in (0, 1800, 3500):
      readers.read_clip({path!r}, first + np.arange(8) / 10, resize=32, max_pixels=10**8)
    seconds = time.perf_counter() - start
    readers.probe({path!r}, max_pixels=10**8)
    print(peak() - before, seconds)"""
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
  assert int(out[0]) < 60_000 and float(out[1]) < 5, out  # kB, s


@pytest.mark.fault("F65", "title and place in an mp4's metadata", "neither in the manifest nor in an error")
def test_what_an_mp4_says_of_the_patient_goes_nowhere(tmp_path):
  lines = ["path,label"]
  for i in range(6):
    write_clip(tmp_path / "plain.mp4", frames(10, first=20 + i))
    with av.open(str(tmp_path / "plain.mp4")) as plain, av.open(str(tmp_path / f"{i}.mp4"), "w") as out:
      out.metadata.update({"title": "DOE^JANE", "location": "+48.1+011.5/"})
      stream = out.add_stream_from_template(plain.streams.video[0])
      for packet in plain.demux(video=0):
        if packet.dts is not None:
          packet.stream = stream
          out.mux(packet)
    lines.append(f"{i}.mp4,{'ab'[i % 2]}")
  assert b"DOE^JANE" in (tmp_path / "0.mp4").read_bytes()
  (tmp_path / "list.csv").write_text("\n".join(lines))
  config = default.get_config()
  config.data.update(source=f"csv:{tmp_path}/list.csv", num_frames=4, fps=5.0)
  made = manifest.make_manifest(config)
  assert "DOE" not in made.text and "48.1" not in made.text
  (tmp_path / "0.mp4").write_bytes((tmp_path / "0.mp4").read_bytes()[:-300])
  assert "DOE" not in fault(str(tmp_path / "0.mp4"))


@pytest.mark.fault("F15", "resolution changes in mid-stream, no time stamps", "read")
def test_a_change_of_size_in_mid_stream_is_read(tmp_path):
  parts = io.BytesIO()
  write_clip(parts, frames(5), container="h264")
  write_clip(parts, frames(5, 96, 128, first=120), container="h264")
  (tmp_path / "a.h264").write_bytes(parts.getvalue())
  assert numbers(str(tmp_path / "a.h264"), 0.0, 0.16, 0.36) == [0, 4, 9]
