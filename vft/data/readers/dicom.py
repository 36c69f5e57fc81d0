"""DICOM cine and single frames with pydicom: the pixels and their times, nothing of the patient.

Only the tags of `TAGS` are parsed; text of pydicom's errors and warnings may quote a header, so none of it is shown.
"""
import contextlib
import functools
import logging
import os
import warnings
from collections.abc import Generator
from typing import BinaryIO

import numpy as np
import pydicom
from av.video.frame import VideoFrame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.utils import iter_pixels
from pydicom.uid import UID

from vft.data.readers.dicom_colour import COLOUR_TAGS, to_rgb
from vft.data.readers.files import open_bytes
from vft.data.readers.options import Content, Decoding, VideoInfo
from vft.data.readers.pixels import check_size, to_frame
from vft.errors import DataError, RunError

TIME_TAGS = ("FrameTime", "FrameTimeVector", "CineRate", "RecommendedDisplayFrameRate")
TAGS = ["Rows", "Columns", "NumberOfFrames", "BurnedInAnnotation", *TIME_TAGS, *COLOUR_TAGS]
# Transfer syntaxes whose decoders are extras (DICOM PS3.6, A-1), and the package of each.
PACKAGES = {"1.2.840.10008.1.2.4.5": "pylibjpeg-libjpeg", "1.2.840.10008.1.2.4.7": "pylibjpeg-libjpeg",
            "1.2.840.10008.1.2.4.8": "pylibjpeg-libjpeg", "1.2.840.10008.1.2.4.9": "pylibjpeg-openjpeg",
            "1.2.840.10008.1.2.4.2": "pylibjpeg-openjpeg"}


def frames_at(content: Content, times_s: np.ndarray, how: Decoding) -> Generator[VideoFrame, None, None]:
  """See options.Reader. Each wanted frame is read and decoded by itself."""
  header = _header(content, how)
  after = header.times_s[1:]
  before = header.times_s[:-1]
  numbers = np.searchsorted((before + after) / 2, np.asarray(times_s) - 1e-9, side="left")
  wanted = list(dict.fromkeys(numbers.tolist()))
  last, frame = -1, None
  with contextlib.closing(_decode(content, header, wanted, how)) as decoded:
    for number in numbers.tolist():
      if number != last or frame is None:
        last, frame = number, to_frame(next(decoded))
      yield frame


def duration_s(content: Content, how: Decoding) -> float:
  """See options.Reader."""
  return _header(content, how).duration_s


def probe(content: Content, how: Decoding) -> VideoInfo:
  """Decodes the first, middle and last frame: a cut DICOM file reads well until its last pixels are asked for."""
  header = _header(content, how)
  count = len(header.times_s)
  for _ in _decode(content, header, sorted({0, count // 2, count - 1}), how):
    pass
  burned_in = str(header.tags.get("BurnedInAnnotation", "")).strip().upper() == "YES"
  return VideoInfo(header.duration_s, count / header.duration_s, header.columns, header.rows, burned_in)


class Header:
  """What is used of a header; times_s are those of the frames, (N,) seconds from 0 on."""

  def __init__(self, tags: pydicom.Dataset, frame_rate: float):
    self.tags = tags
    self.rows, self.columns = int(tags.Rows), int(tags.Columns)
    count = int(tags.get("NumberOfFrames") or 1)
    self.times_s, step = _times(tags, count, frame_rate)
    self.duration_s = float(self.times_s[-1] + step)


def _times(tags: pydicom.Dataset, count: int, frame_rate: float) -> tuple[np.ndarray, float]:
  """(N,) seconds and the mean step (DICOM PS3.3, C.7.6.5: FrameTime in ms, FrameTimeVector the steps, first 0)."""
  vector = tags.get("FrameTimeVector")
  if vector is not None and not isinstance(vector, float | str) and len(vector) == count > 1:
    times = np.cumsum([float(v) for v in vector]) / 1000
    times -= times[0]
    if (np.diff(times) >= 0).all() and times[-1] > 0:
      return times, float(times[-1] / (count - 1))
  step = float(tags.get("FrameTime") or 0) / 1000
  rate = next((float(tags.get(t) or 0) for t in TIME_TAGS[2:] if float(tags.get(t) or 0) > 0), frame_rate)
  step = step or (1 / rate if rate > 0 else 1.0 if count == 1 else 0.0)
  if not 0 < step < 3600:
    raise DataError("a cine without frame times in its header: give --config.data.frame_rate=HZ")
  return np.arange(count) * step, step


def _header(content: Content, how: Decoding) -> Header:
  assert isinstance(content, str | bytes)
  with open_bytes(content) as file:
    if file.read(132)[128:] != b"DICM":
      raise DataError("not DICOM: no 'DICM' at byte 128")
    file.seek(0)
    with silent("damaged header"):
      tags = pydicom.dcmread(file, stop_before_pixels=True, specific_tags=TAGS)
      syntax = str(tags.file_meta.get("TransferSyntaxUID", ""))
      if "Rows" not in tags or "Columns" not in tags:
        raise DataError("DICOM without pixels")
      check_size(int(tags.Columns), int(tags.Rows), how.max_pixels)
      _check_decoder(syntax)
      if int(tags.get("NumberOfFrames") or 1) > file.seek(0, os.SEEK_END):
        raise DataError("damaged header: more frames than bytes")
      return Header(tags, how.frame_rate)


def _check_decoder(syntax: str) -> None:
  """Raises DataError naming the package that is missing."""
  if not syntax:
    raise DataError("damaged header: no transfer syntax")
  name = UID(syntax).name
  name = "an unknown transfer syntax" if name == syntax else name  # it would be a value of the header
  try:
    available = get_decoder(syntax).is_available
  except NotImplementedError:
    raise DataError(f"no decoder for {name}: convert it, such as by dcmdjpeg or gdcmconv --raw") from None
  if not available:
    package = next((p for start, p in PACKAGES.items() if syntax.startswith(start)), "")
    raise DataError(f"no decoder for {name}: pip install pylibjpeg {package}".rstrip())


def _decode(content: Content, header: Header, numbers: list[int],
            how: Decoding) -> Generator[np.ndarray, None, None]:
  """(H, W, 3) or (H, W) uint8 of each of the rising frame numbers, one in memory at a time."""
  assert isinstance(content, str | bytes)
  # The generator closes before its file, which it sets back to its start.
  with open_bytes(content) as file, contextlib.closing(_pixels(file, numbers)) as frames:
    for number in numbers:
      with silent(f"damaged: frame {number + 1} of {len(header.times_s)} cannot be decoded"):
        image = to_rgb(next(frames), header.tags, number, how.window)
        if image.shape[:2] != (header.rows, header.columns):
          raise DataError(f"damaged: frame {number + 1} is of another size than the header says")
      yield image


def _pixels(file: BinaryIO, numbers: list[int]) -> Generator[np.ndarray, None, None]:
  yield from iter_pixels(file, indices=numbers)


@contextlib.contextmanager
def silent(what: str) -> Generator[None, None, None]:
  """pydicom's errors become DataErrors without their text and cause; its warnings and log lines are not shown."""
  _quiet_log()
  warnings.filterwarnings("ignore", module=r"pydicom")  # no catch_warnings: it is not safe in threads
  try:
    yield
  except (DataError, RunError):
    raise
  except Exception as e:  # decoders and header values raise whatever they like
    raise DataError(f"{what} ({type(e).__name__})") from None


@functools.cache
def _quiet_log() -> None:
  logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
  logging.getLogger("pylibjpeg").setLevel(logging.CRITICAL + 1)
