"""Wanted frames of a video with as little decoding as gives the same pixels: by the time stamps of its packets."""
from collections.abc import Callable, Generator
from fractions import Fraction

import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vft.data.readers.pixels import check_size
from vft.errors import DataError

CODECS = ("h264", "hevc")  # their decoders leave out a frame when told so packet by packet, if no other is made of it
FORMATS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")  # every packet is stamped, and a seek finds the same ones again


def frames_at(open_video: Callable[[], InputContainer], times_s: np.ndarray,
              max_pixels: int) -> Generator[VideoFrame, None, None]:
  """For each of the rising times the nearest frame (the earlier of two equally near); past the end the last one.

  Ends early where that cannot be had so: other codecs and formats, odd time stamps, packets that give no frame, all
  damage that is met. The caller then decodes everything. Frames that are neither wanted nor needed are not looked at.
  """
  with open_video() as container:
    stream = container.streams.video[0]
    if stream.codec_context.name not in CODECS or container.format.name not in FORMATS or stream.start_time is None:
      return
    try:
      stamps = _stamps(container, stream, times_s)
      if stamps is not None:
        yield from _decode(container, stream, *_plan(*stamps, stream, times_s), max_pixels)
    except (FFmpegError, DataError):
      return


def _stamps(container: InputContainer, stream: VideoStream,
            times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
  """(pts, is key frame, is shown) of each packet, from the last key frame before the times to the end of their frames.

  None where they do not tell which frames there are.
  """
  unit, start = stream.time_base or Fraction(1), stream.start_time or 0
  first, last = (int(times_s[i] / unit) + start for i in (0, -1))
  container.seek(first, stream=stream)
  pts, keys, shown, end = [], [], [], None
  for packet in container.demux(stream):
    if not packet.size:  # the end
      break
    if packet.pts is None or packet.is_corrupt:
      return None
    if end is not None and packet.dts is not None and packet.dts >= end:
      break  # what comes now is later than the frame after the last time
    pts.append(packet.pts)
    keys.append(packet.is_keyframe)
    shown.append(not packet.is_discard)
    if shown[-1] and packet.pts > last:
      end = packet.pts if end is None else min(end, packet.pts)
  usable = bool(keys) and keys[0] and shown[0] and pts[0] <= first and len(set(pts)) == len(pts)
  return (np.array(pts), np.array(keys), np.array(shown)) if usable else None


def _plan(pts: np.ndarray, keys: np.ndarray, shown: np.ndarray, stream: VideoStream,
          times_s: np.ndarray) -> tuple[np.ndarray, list[tuple[int, int]]]:
  """The pts for each time, and spans of pts (key frame, last packet to decode), each of which is decoded by itself."""
  unit, ordered = stream.time_base or Fraction(1), np.sort(pts[shown])
  seconds = (ordered - (stream.start_time or 0)) * unit.numerator / unit.denominator
  after = np.searchsorted(seconds, times_s).clip(max=len(seconds) - 1)
  before = np.maximum(after - 1, 0)
  wanted = ordered[np.where(times_s - seconds[before] <= seconds[after] - times_s, before, after)]
  # A key frame that parts the frames before it from those after it, in time, too: decoding may start there.
  later = np.minimum.accumulate(pts[::-1])[::-1]
  earlier = np.append(np.iinfo(np.int64).min, np.maximum.accumulate(pts)[:-1])
  parts = keys & (pts == later) & (pts > earlier)
  parts[0] = True
  places = np.argsort(pts)[np.searchsorted(pts, wanted, sorter=np.argsort(pts))]  # of the wanted packets
  begins = np.flatnonzero(parts)
  spans: dict[int, int] = {}
  for place in places:
    begin = int(begins[np.searchsorted(begins, place, side="right") - 1])
    spans[begin] = max(spans.get(begin, 0), int(place))
  return wanted, [(int(pts[begin]), int(pts[end])) for begin, end in spans.items()]


def _decode(container: InputContainer, stream: VideoStream, wanted: np.ndarray, spans: list[tuple[int, int]],
            max_pixels: int) -> Generator[VideoFrame, None, None]:
  """The frames with these rising pts, some of them repeated; ends early where one does not come out."""
  context, wish, done = stream.codec_context, set(wanted.tolist()), 0
  def out(frames: list[VideoFrame]) -> Generator[VideoFrame, None, None]:
    nonlocal done
    for frame in frames:
      check_size(frame.width, frame.height, max_pixels)
      if frame.is_corrupt:
        raise DataError("damaged")
      while done < len(wanted) and frame.pts == wanted[done]:
        yield frame
        done += 1
  for begin, end in spans:
    container.seek(begin, stream=stream)
    for packet in container.demux(stream):
      context.skip_frame = "DEFAULT" if packet.pts in wish else "NONREF"
      yield from out(context.decode(packet))
      if packet.pts == end or not packet.size:
        break
    yield from out(context.decode(None))
