"""Videos to pixels: any container by PyAV, folders of frames, DICOM, NIfTI. A fault is a DataError of one short line.

A clip is asked for by time, never by frame index: phone and ultrasound videos have variable frame rates. Here is the
way in (read_clip, probe, options); video.py, folders.py, dicom.py and nifti.py each read one kind of content.
"""
from __future__ import annotations

import contextlib
import os
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

import numpy as np
from av.video.reformatter import VideoReformatter

from vft.data.readers import folders, nifti, video
from vft.data.readers.files import open_bytes, version
from vft.data.readers.folders import IMAGES, frame_files
from vft.data.readers.options import Content, Decoding, FrameFolder, Reader, VideoInfo
from vft.data.readers.pixels import square, upright
from vft.data.readers.sector import LOOKS, Sector, find_sector

if TYPE_CHECKING:
  from ml_collections import ConfigDict

__all__ = ["IMAGES", "Content", "FrameFolder", "VideoInfo", "decode_all", "frame_files", "look", "options", "probe",
           "read_clip"]
DICOM_SUFFIXES = (".dcm", ".dicom", ".ima")
KEPT = 256  # outlines of sectors that a process remembers, 1 kB each
_sectors: dict[Any, Sector] = {}


def options(data: ConfigDict) -> dict[str, Any]:
  """The fields of config.data that `read_clip` and `probe` take, besides `resize`."""
  return {"max_pixels": data.max_pixels, "mask": tuple(tuple(float(x) for x in box) for box in data.mask),
          "crop": data.crop, "window": tuple(float(x) for x in data.window), "frame_rate": float(data.frame_rate)}


def read_clip(source: Content, times_s: np.ndarray, *, resize: int, max_pixels: int, crops: int = 1,
              mask: tuple[tuple[float, float, float, float], ...] = (), crop: str = "centre",
              window: tuple[float, ...] = (), frame_rate: float = 0.0) -> np.ndarray:
  """The frames nearest to `times_s` (T,) seconds after the first frame, as (crops T, resize, resize, 3) uint8.

  Upright, the boxes of `mask` black, the short side scaled to `resize`, the centre square kept; with crop="sector" the
  square around the ultrasound sector, black outside of it. Past the end the last frame is repeated. With three `crops`
  come all frames at the start of the long side, then those at its centre, then those at its end. The other arguments
  are the fields of config.data of those names.
  Raises DataError with the reason if the file is no video or cannot be decoded up to the last wanted frame.
  """
  how = Decoding(max_pixels, mask, crop, window, frame_rate)
  times = np.asarray(times_s, np.float64)
  order = np.argsort(times, kind="stable")
  clip = np.empty((crops, len(times), resize, resize, 3), np.uint8)
  sector = _sector(source, how) if crop == "sector" else None
  with contextlib.closing(_reader(source).frames_at(source, times[order], how)) as frames:
    last, pixels = None, clip[:, 0]
    scaler = VideoReformatter()  # one for all: making it costs as much as scaling a frame
    for place, frame in zip(order, frames, strict=True):
      if frame is not last:
        last, pixels = frame, square(frame, resize, how, sector, scaler, crops)
      clip[:, place] = pixels
  return clip.reshape(-1, resize, resize, 3)


def look(source: Content, times_s: np.ndarray, *, resize: int, max_pixels: int,
         mask: tuple[tuple[float, float, float, float], ...] = (), crop: str = "centre", window: tuple[float, ...] = (),
         frame_rate: float = 0.0) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
  """At each of the rising times the whole upright frame (H, W, 3), and (resize, resize, 3) of it as in `read_clip`."""
  how = Decoding(max_pixels, mask, crop, window, frame_rate)
  sector = _sector(source, how) if crop == "sector" else None
  whole, part = VideoReformatter(), VideoReformatter()  # each keeps its tables as long as the sizes stay
  with contextlib.closing(_reader(source).frames_at(source, np.asarray(times_s, np.float64), how)) as frames:
    for frame in frames:
      yield upright(frame, how, whole), square(frame, resize, how, sector, part)[0]


def decode_all(source: Content, info: VideoInfo, **reading: Any) -> int:
  """Decodes every frame; returns their number. Raises DataError at the first that cannot be decoded."""
  how, count, last = Decoding(**reading), 0, None
  times = np.append(np.arange(round(info.duration_s * info.fps)) / info.fps, info.duration_s)
  with contextlib.closing(_reader(source).frames_at(source, times, how)) as frames:
    for frame in frames:
      count, last = count + (frame is not last), frame
  return count


def probe(source: Content, *, max_pixels: int, mask: tuple[tuple[float, float, float, float], ...] = (),
          crop: str = "centre", window: tuple[float, ...] = (), frame_rate: float = 0.0) -> VideoInfo:
  """Looks at all of the content, decodes its start and its end; finds the sector, if asked to. Raises DataError."""
  how = Decoding(max_pixels, mask, crop, window, frame_rate)
  info = _reader(source).probe(source, how)
  if crop == "sector":
    _sector(source, how)
  return info


def _reader(content: Content) -> Reader:
  """By what the content is; by its name only where a DICOM file has lost its start."""
  path = content.path if isinstance(content, FrameFolder) else content
  if isinstance(path, str) and path.lower().endswith(nifti.SUFFIXES) and not os.path.isdir(path):
    return nifti
  if isinstance(content, FrameFolder) or (isinstance(content, str) and os.path.isdir(content)):
    return folders
  with open_bytes(content) as file:
    head = file.read(132)
  if head[128:] != b"DICM" and not (isinstance(content, str) and content.lower().endswith(DICOM_SUFFIXES)):
    return video
  from vft.data.readers import dicom  # pydicom takes 0.2 s to import
  return dicom


def _sector(content: Content, how: Decoding) -> Sector:
  """Found once per content and process. Raises DataError if there is none."""
  reader = _reader(content)
  key = (content, *version(content), how) if isinstance(content, str) else (hash(content), len(content), how)
  if key not in _sectors:
    scaler = VideoReformatter()
    length = reader.duration_s(content, how)

    def looks():
      for share in np.linspace(0, 1, LOOKS, endpoint=False):
        with contextlib.closing(reader.frames_at(content, np.array([share * length]), how)) as frames:
          yield upright(next(frames), how, scaler)

    found = find_sector(looks())
    while len(_sectors) >= KEPT:
      _sectors.pop(next(iter(_sectors)), None)
    _sectors[key] = found
    return found
  return _sectors[key]
