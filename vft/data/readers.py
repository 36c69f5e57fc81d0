"""Video files to pixels with PyAV. A fault is a DataError of one short line: the reason that skipped.csv shows.

A clip is asked for by time, never by frame index: phone and ultrasound videos have variable frame rates.
"""
import contextlib
import dataclasses
import io
import os
import stat
from collections.abc import Generator, Iterator
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO, cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from vft.errors import DataError

# Containers that hold their own frames. Playlists (hls, concat, dash), images and text are left out on purpose.
FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,h264,hevc,ivf,dv,apng,"
           "m4v,nut,rm,wtv,mjpeg,yuv4mpegpipe")
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
BACK_S = (0.0, 5.0, 60.0)  # how far before the wanted time to seek, should the nearer key frame come too late
MAX_ASPECT = 20  # long side to short side; a frame of 1 x 1,000,000 pixels would fill the memory when scaled


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """Seconds from the first frame to the end of the last; mean frames per second; pixels of the upright frame."""
  duration_s: float
  fps: float
  width: int
  height: int


def read_clip(source: str | bytes, times_s: np.ndarray, *, resize: int, max_pixels: int) -> np.ndarray:
  """The frames nearest to `times_s` (T,) seconds after the first frame, as (T, resize, resize, 3) uint8.

  Upright, the short side scaled to `resize`, the centre square kept. Past the end the last frame is repeated.
  Raises DataError with the reason if the file is no video or cannot be decoded up to the last wanted frame.
  """
  times = np.asarray(times_s, np.float64)
  order = np.argsort(times, kind="stable")
  clip = np.empty((len(times), resize, resize, 3), np.uint8)
  with contextlib.closing(_from(source, float(times[order[0]]), max_pixels)) as decoded:
    frames = _nearest(decoded, times[order])
    last, pixels, scaler = None, clip[0], VideoReformatter()  # one scaler: making it costs as much as scaling a frame
    for place, frame in zip(order, frames, strict=True):
      if frame is not last:
        last, pixels = frame, _square(frame, resize, scaler)
      clip[place] = pixels
  return clip


def probe(source: str | bytes, *, max_pixels: int) -> VideoInfo:
  """Looks at every packet, decodes the first frame and those from the last key frame on. Raises DataError."""
  with _open(source, max_pixels) as container:
    rate = _rate(container.streams.video[0])
    times, keys = _scan(container)
  seconds = max(times) - min(times) if times else 0.0
  fps = (len(times) - 1) / seconds if seconds > 0 else rate
  with _open(source, max_pixels) as container:
    frames = _decode(container, max_pixels)
    _, first = next(frames)
    last_key = max(keys, default=0.0)
    for _ in _from(source, last_key, max_pixels) if last_key > 0 else frames:
      pass
  width, height = first.width, first.height
  if first.rotation % 180:
    width, height = height, width
  return VideoInfo(seconds + 1 / fps, fps, width, height)


def _scan(container: InputContainer) -> tuple[list[float], list[float]]:
  """Times of all packets and of those with a key frame, in seconds after the start. Raises DataError on a cut file."""
  stream = container.streams.video[0]
  times, keys, unit, step = [], [], float(stream.time_base or 1), 1 / _rate(stream)
  try:
    for packet in container.demux(stream):
      if packet.is_corrupt:
        raise DataError(f"cut off: packet {len(times)} is not whole; copy it again")
      stamp = packet.pts if packet.pts is not None else packet.dts
      if packet.size:
        times.append(len(times) * step if stamp is None else (stamp - (stream.start_time or 0)) * unit)
        keys.extend(times[-1:] if packet.is_keyframe else [])
  except FFmpegError as e:
    raise DataError(f"cut off: {len(times)} of {stream.frames or '?'} frames, then {_words(e)}; copy it again") from e
  if len(times) < 0.9 * stream.frames - 1 and container.format.name != "avi":  # AVI counts repeated frames, too
    raise DataError(f"cut off: {len(times)} of {stream.frames} frames; copy it again")
  if len(container.streams) == 1 and container.duration and times:  # mkv and webm: no count, but a duration
    promised, seconds = container.duration / 1e6, max(times) + step
    if seconds < 0.9 * promised - 1:
      raise DataError(f"cut off: {seconds:.1f} of {promised:.1f} s; copy it again")
  return times, keys


def _rate(stream: VideoStream) -> float:
  return float(stream.average_rate or stream.guessed_rate or 25)


def _open(source: str | bytes, max_pixels: int) -> InputContainer:
  """Raises DataError if it is no video with frames of at most `max_pixels`."""
  with _stream(source) as file:
    head = file.read(16)
    cut = _cut_boxes(file, head)
  if cut:
    raise DataError(f"cut off: {cut}; copy it again")
  try:  # the prefix keeps names such as "http:x.mp4" what they are: names of files
    container = cast(InputContainer, av.open(io.BytesIO(source) if isinstance(source, bytes) else f"file:{source}",
                                             options=OPTIONS))
  except (FFmpegError, ValueError) as e:
    text = head.decode("utf-8", "ignore")
    readable = text.strip() and " ".join(text.split()).isprintable()
    raise DataError(f"not a video: starts with {text[:12].strip()!r}" if readable else
                    f"not a video: starts with bytes {head[:8].hex()}") from e
  if not container.streams.video:
    found = sorted({s.type for s in container.streams}) or ["nothing"]
    container.close()
    raise DataError(f"no video stream (found: {', '.join(found)})")
  context = container.streams.video[0].codec_context
  try:
    _check_size(context.width, context.height, max_pixels)
  except DataError:
    container.close()
    raise
  context.thread_count = 1  # clips are decoded side by side; threads within one cost more than they gave (measured)
  context.options = {"max_pixels": str(max_pixels)}  # FFmpeg refuses larger frames that come later, too
  return container


def _stream(source: str | bytes) -> BinaryIO:
  if isinstance(source, bytes):
    if not source:
      raise DataError("empty file")
    return io.BytesIO(source)
  path = Path(source)
  try:
    about = path.stat()
    if stat.S_ISDIR(about.st_mode):
      raise DataError("a folder, not a file")
    if not stat.S_ISREG(about.st_mode):  # opening a pipe would wait for ever
      raise DataError("not a regular file")
    if not about.st_size:
      raise DataError("empty file")
    return path.open("rb")
  except FileNotFoundError:
    link = " (a broken link)" if path.is_symlink() else ""
    raise DataError(f"no such file: {os.path.realpath(path)}{link}") from None
  except PermissionError:
    raise DataError(f"no permission: {os.path.realpath(path)}") from None
  except OSError as e:
    raise DataError(f"not readable: {e.strerror}") from None


def _cut_boxes(file: BinaryIO, head: bytes) -> str:
  """What is missing of an MP4 or MOV file by the sizes of its top-level boxes (ISO 14496-12, 4.2), or ""."""
  if head[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
    return ""
  length, at, seen = file.seek(0, os.SEEK_END), 0, set()
  while at + 8 <= length:
    file.seek(at)
    size, kind = int.from_bytes(file.read(4), "big"), file.read(4)
    if size == 1:
      size = int.from_bytes(file.read(8), "big")
    seen.add(kind)
    if size < 8:  # 0: up to the end of the file
      break
    at += size
    if at > length and kind in (b"moov", b"mdat", b"moof"):
      return "moov atom missing" if b"moov" not in seen else f"{length} of {at} bytes"
  return "" if b"moov" in seen else "moov atom missing"


def _check_size(width: int, height: int, max_pixels: int) -> None:
  if width * height > max_pixels:
    raise DataError(f"frame {width}x{height} over data.max_pixels {max_pixels}")
  if min(width, height) > 0 and max(width, height) > MAX_ASPECT * min(width, height):
    raise DataError(f"frame {width}x{height}: one side over {MAX_ASPECT} times the other")


def _from(source: str | bytes, time_s: float, max_pixels: int) -> Generator[tuple[float, VideoFrame], None, None]:
  """(seconds after the first frame, frame) from the last key frame before `time_s` on."""
  for back in (b for b in BACK_S if 0 < time_s >= b):
    with _open(source, max_pixels) as container:
      stream = container.streams.video[0]
      if stream.start_time is None or not stream.time_base or container.format.name == "mpeg":
        break  # an MPEG program stream stamps some frames only: after a seek the times of the others are guesses
      try:
        container.seek(stream.start_time + int((time_s - back) / stream.time_base), stream=stream)
        frames = _decode(container, max_pixels)
        first = next(frames)
      except (FFmpegError, DataError):
        continue
      if first[0] <= time_s:
        yield first
        yield from frames
        return
  with _open(source, max_pixels) as container:  # afresh: in MPEG-TS a seek to the start misses the first frames
    yield from _decode(container, max_pixels)


def _decode(container: InputContainer, max_pixels: int) -> Iterator[tuple[float, VideoFrame]]:
  """(seconds after the first frame, frame); at least one. Raises DataError when the decoder does."""
  stream = container.streams.video[0]
  start, unit = stream.start_time, stream.time_base or Fraction(1)
  time, count, step = 0.0, 0, 1 / _rate(stream)
  try:
    for frame in container.decode(stream):
      _check_size(frame.width, frame.height, max_pixels)
      if frame.is_corrupt:
        raise DataError(f"damaged: frame at {time:.2f} s is not whole")
      start = frame.pts if start is None else start
      time = count * step if frame.pts is None or start is None else float((frame.pts - start) * unit)
      yield time, frame
      count += 1
  except FFmpegError as e:
    raise DataError(f"damaged: decoding stops after {time:.2f} s ({_words(e)})" if count else
                    f"damaged: no frame can be decoded ({_words(e)})") from e
  if not count:
    raise DataError("no frames")


def _nearest(frames: Iterator[tuple[float, VideoFrame]], times_s: np.ndarray) -> Iterator[VideoFrame]:
  """For each of the rising times the nearest frame (the earlier of two equally near); past the end the last one."""
  before = after = next(frames)
  for time in times_s:
    while after[0] < time:
      following = next(frames, None)
      before, after = after, following or after
      if following is None:
        break
    yield (before if time - before[0] <= after[0] - time else after)[1]


def _square(frame: VideoFrame, resize: int, scaler: VideoReformatter) -> np.ndarray:
  """(resize, resize, 3) uint8: the short side scaled, turned upright, the centre cut out."""
  scale = resize / min(frame.width, frame.height)
  width, height = (max(resize, round(side * scale)) for side in (frame.width, frame.height))
  pixels = scaler.reformat(frame, width, height, "rgb24").to_ndarray()
  top, left = (height - resize) // 2, (width - resize) // 2
  return np.rot90(pixels[top:top + resize, left:left + resize], round(frame.rotation / 90))


def _words(error: FFmpegError) -> str:
  return (error.strerror or str(error)).lower()
