"""Video files to frames with PyAV, by their time stamps."""
import contextlib
from collections.abc import Generator, Iterator
from fractions import Fraction
from typing import cast

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vft import storage
from vft.data.readers import sparing
from vft.data.readers.files import cut_boxes, open_bytes
from vft.data.readers.options import Content, Decoding, VideoInfo
from vft.data.readers.pixels import check_size
from vft.errors import DataError, RunError

# Containers that hold their own frames. Playlists (hls, concat, dash), images and text are left out on purpose.
FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif,mpeg,mpegts,mpegvideo,asf,flv,ogg,mxf,h264,hevc,ivf,dv,apng,"
           "m4v,nut,rm,wtv,mjpeg,yuv4mpegpipe")
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
BACK_S = (0.0, 5.0, 60.0)  # how far before the wanted time to seek, should the nearer key frame come too late


def frames_at(content: Content, times_s: np.ndarray, how: Decoding) -> Generator[VideoFrame, None, None]:
  """See options.Reader."""
  source, done = _file(content), 0
  for frame in sparing.frames_at(lambda: _open(source, how.max_pixels), times_s, how.max_pixels):
    yield frame
    done += 1
  if done < len(times_s):
    with contextlib.closing(_from(source, float(times_s[done]), how.max_pixels)) as decoded:
      yield from _nearest(decoded, times_s[done:])


def duration_s(content: Content, how: Decoding) -> float:
  """See options.Reader. Where no header says it, every packet is looked at."""
  with _open(_file(content), how.max_pixels) as container:
    stream = container.streams.video[0]
    if stream.duration and stream.time_base:
      return float(stream.duration * stream.time_base)
    if container.duration and len(container.streams) == 1:
      return container.duration / 1e6
    times, _ = _scan(container)
    return (max(times) - min(times) if times else 0.0) + 1 / _rate(stream)


def probe(content: Content, how: Decoding) -> VideoInfo:
  """Looks at every packet, decodes the first frame and those from the last key frame on."""
  source, max_pixels = _file(content), how.max_pixels
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


def _file(content: Content) -> str | bytes:
  assert isinstance(content, str | bytes)
  return content


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
    start = max(0.0, (stream.start_time or 0) * unit)  # Matroska counts its duration from 0 on
    promised, seconds = container.duration / 1e6 - start, max(times) + step
    if seconds < 0.9 * promised - 1:
      raise DataError(f"cut off: {seconds:.1f} of {promised:.1f} s; copy it again")
  return times, keys


def _rate(stream: VideoStream) -> float:
  return float(stream.average_rate or stream.guessed_rate or 25)


def _open(source: str | bytes, max_pixels: int) -> InputContainer:
  """Raises DataError if it is no video with frames of at most `max_pixels`."""
  with open_bytes(source) as file:
    head = file.read(16)
    cut = cut_boxes(file, head)
  if cut:
    raise DataError(f"cut off: {cut}; copy it again")
  try:
    container = _container(source, max_pixels)
  except RunError:  # of a remote place
    raise
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
    check_size(context.width, context.height, max_pixels)
  except DataError:
    container.close()
    raise
  context.thread_count = 1  # clips are decoded side by side; threads within one cost more than they gave (measured)
  context.options = {"max_pixels": str(max_pixels)}  # FFmpeg refuses larger frames that come later, too
  return container


def _container(source: str | bytes, max_pixels: int) -> InputContainer:
  """Opening decodes the first frame of some formats: there too FFmpeg refuses larger ones, and then knows no size."""
  # The prefix keeps names such as "http:x.mp4" what they are: file names.
  file = open_bytes(source) if isinstance(source, bytes) or storage.is_remote(source) else f"file:{source}"
  return cast(InputContainer, av.open(file, options={**OPTIONS, "max_pixels": str(max_pixels)}))


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
      check_size(frame.width, frame.height, max_pixels)
      if frame.is_corrupt:
        raise DataError(f"damaged: frame at {time:.2f} s is not whole")
      start = frame.pts if start is None else start
      time = count * step if frame.pts is None or start is None else float((frame.pts - start) * unit)
      yield time, frame
      count += 1
  except FFmpegError as e:
    raise DataError(f"damaged: decoding stops after {time:.2f} s ({_words(e)})" if count else
                    f"damaged: no frame can be decoded ({_words(e)})" if stream.codec_context.width else
                    f"no frame can be decoded, or it is over data.max_pixels {max_pixels} ({_words(e)})") from e
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


def _words(error: FFmpegError) -> str:
  return (error.strerror or str(error)).lower()
