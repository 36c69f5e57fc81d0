"""Tiny real videos, written by PyAV at test time: there are no binaries in git."""
import contextlib
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def frames(count: int = 10, height: int = 48, width: int = 64, first: int = 20, step: int = 20) -> np.ndarray:
  """(count, height, width, 3) uint8: frame i is grey of value first + i * step, so a decoded frame tells its number."""
  grey = np.minimum(first + step * np.arange(count), 255).astype(np.uint8)
  return np.broadcast_to(grey[:, None, None, None], (count, height, width, 3)).copy()


def write_clip(path: str | Path | io.BytesIO, video: np.ndarray | None = None, *, fps: float = 10.0,
               pts_ms: Sequence[int] | None = None, codec: str = "libx264", pix_fmt: str = "yuv420p", gop: int = 12,
               container: str | None = None, faststart: bool = False, crf: int = 10,
               settings: Mapping[str, str] | None = None) -> str:
  """Writes `video` (T, H, W, 3) uint8 RGB with frames 1 / fps s apart, or at `pts_ms`. Returns the path.

  `settings`: all of the encoder's own, in place of `gop` and `crf`.
  """
  video = frames() if video is None else video
  target = path if isinstance(path, io.BytesIO) else str(path)
  options = {"movflags": "+faststart"} if faststart else {}
  with usual_priority(), av.open(target, "w", format=container, container_options=options) as out:
    rate = Fraction(fps).limit_denominator(1000)
    unit = 1 / rate if codec == "mpeg2video" else Fraction(1, 1000)  # MPEG-2 allows few time bases
    stream = out.add_stream(codec, rate=rate)
    stream.width, stream.height, stream.pix_fmt = video.shape[2], video.shape[1], pix_fmt
    stream.codec_context.time_base = unit
    if settings is not None:
      stream.options = dict(settings)
    else:
      stream.codec_context.gop_size = gop
    if settings is None and codec.startswith("libx26"):
      stream.options = {"crf": str(crf), "preset": "veryfast", "threads": "1"}
    for i, pixels in enumerate(video):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pix_fmt)
      frame.pts, frame.time_base = round((pts_ms[i] / 1000 if pts_ms is not None else i / fps) / unit), unit
      out.mux(stream.encode(frame))
    out.mux(stream.encode())
  return str(path)


@contextlib.contextmanager
def usual_priority() -> Iterator[None]:
  """SVT-AV1 makes the calling thread of root a real-time one, before which everything else on the machine waits."""
  usual = os.sched_getscheduler(0), os.sched_getparam(0)
  try:
    yield
  finally:
    os.sched_setscheduler(0, *usual)


def write_audio(path: str | Path) -> str:
  """Half a second of silence, AAC: a file with no video stream."""
  with av.open(str(path), "w") as out:
    stream = out.add_stream("aac", rate=16000, layout="mono")
    for i in range(8):
      frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
      frame.sample_rate, frame.pts = 16000, 1024 * i
      out.mux(stream.encode(frame))
    out.mux(stream.encode())
  return str(path)


def rotate_90(path: str | Path) -> None:
  """Turns the display matrix of an MP4's track header, as phones do: shown a quarter turn clockwise."""
  data = bytearray(Path(path).read_bytes())
  at = data.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes after the version
  matrix = (0, 0x10000, 0, -0x10000, 0, 0, 0, 0, 0x40000000)
  data[at:at + 36] = b"".join(v.to_bytes(4, "big", signed=True) for v in matrix)
  Path(path).write_bytes(data)


def repeat_clip(source: str | Path, path: str | Path, times: int) -> str:
  """Writes the packets of a video `times` times, one after the other: hours of video in seconds. Returns the path."""
  with av.open(str(path), "w") as out, av.open(str(source)) as video:
    stream = out.add_stream_from_template(video.streams.video[0])
    packets = [p for p in video.demux(video=0) if p.size]
    length = max(p.pts + p.duration for p in packets)
    for i in range(times):
      for packet in packets:
        packet.pts, packet.dts, packet.stream = packet.pts + i * length, packet.dts + i * length, stream
        out.mux(packet)
        packet.pts, packet.dts = packet.pts - i * length, packet.dts - i * length
  return str(path)
