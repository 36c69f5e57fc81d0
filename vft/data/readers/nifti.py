"""Sequences in NIfTI files with nibabel: (width, height, frames) grey values, as an .nii or .nii.gz file holds them.

A frame is shown with the first axis from left to right and the second from top to bottom, which is what SimpleITK's
GetArrayFromImage gives; the affine of the header is not looked at. Its fourth step is rarely the time between frames:
the rate is that of FrameFolder, or data.frame_rate.
"""
import gzip
from collections.abc import Generator
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from vft import storage
from vft.data.readers.files import open_bytes
from vft.data.readers.options import Content, Decoding, FrameFolder, VideoInfo
from vft.data.readers.pixels import apply_window, check_size, to_frame
from vft.errors import DataError

SUFFIXES = (".nii", ".nii.gz")
MAX_FRAMES = 100_000  # a header that promises more is damaged, and would fill the memory


def frames_at(content: Content, times_s: np.ndarray, how: Decoding) -> Generator[VideoFrame, None, None]:
  """See options.Reader. The whole sequence is unpacked; frames become grey values one at a time."""
  file, fps = _place(content, how)
  values, last, frame = _values(file, how), -1, None
  window = _window(file, values, how)
  for time in times_s:
    number = min(max(int(np.ceil(time * fps - 0.5 - 1e-9)), 0), values.shape[2] - 1)  # the earlier of two equally near
    if number != last or frame is None:
      image = values[:, :, number].T
      image = apply_window(image, window[0], window[1], window[2]) if window else image.astype(np.uint8)
      last, frame = number, to_frame(image)
    yield frame


def duration_s(content: Content, how: Decoding) -> float:
  """See options.Reader."""
  file, fps = _place(content, how)
  return _shape(_open(file), how)[2] / fps


def probe(content: Content, how: Decoding) -> VideoInfo:
  """Unpacks all of the file."""
  file, fps = _place(content, how)
  width, height, count = _values(file, how).shape
  return VideoInfo(count / fps, fps, width, height)


def _place(content: Content, how: Decoding) -> tuple[str | bytes, float]:
  file, fps = content if isinstance(content, FrameFolder) else (content, how.frame_rate)
  open_bytes(file).close()  # what is not there comes before what is not known of it
  if fps <= 0:
    raise DataError("a NIfTI sequence without a frame rate: give --config.data.frame_rate=HZ")
  return file, fps


def _open(file: str | bytes) -> Any:
  """The image of nibabel, its values still unread."""
  try:
    from nibabel.nifti1 import Nifti1Image
  except ImportError:
    raise DataError("no reader for NIfTI: pip install nibabel, or vft[nifti]") from None
  if isinstance(file, str) and storage.is_remote(file):
    with open_bytes(file) as opened:
      file = opened.read()
  try:
    if isinstance(file, str):
      return Nifti1Image.from_filename(file, mmap=False)
    return Nifti1Image.from_bytes(gzip.decompress(file) if file[:2] == b"\x1f\x8b" else file)
  except Exception as e:  # headers and gzip streams raise whatever they like
    raise DataError(f"not NIfTI, or damaged ({type(e).__name__})") from None


def _shape(image: Any, how: Decoding) -> tuple[int, int, int]:
  """(width, height, frames); axes of length 1 after the second count as none. Raises DataError for other shapes."""
  shape = tuple(int(n) for n in image.shape)
  rest = [n for n in shape[2:] if n > 1] or [1]
  if len(shape) < 2 or len(rest) > 1 or image.get_data_dtype().names or 0 in shape:
    raise DataError(f"NIfTI of shape {shape} and type {image.get_data_dtype()}; expected grey (width, height, frames)")
  if rest[0] > MAX_FRAMES:
    raise DataError(f"NIfTI of {rest[0]} frames; expected {MAX_FRAMES} at most")
  check_size(shape[0], shape[1], how.max_pixels)
  return shape[0], shape[1], rest[0]


def _values(file: str | bytes, how: Decoding) -> np.ndarray:
  """(width, height, frames), scaled as the header says."""
  image = _open(file)
  shape = _shape(image, how)
  try:
    return np.asanyarray(image.dataobj).reshape(shape)
  except Exception as e:  # as above
    raise DataError(f"damaged: its values cannot be read ({type(e).__name__})") from None


def _window(file: str | bytes, values: np.ndarray, how: Decoding) -> tuple[float, float, str] | None:
  """Arguments of apply_window: data.window, else that of the header, else none for 8 bits, else all of the sequence."""
  if how.window:
    return how.window[0], how.window[1], "LINEAR"
  header = _open(file).header
  low, high = float(header["cal_min"]), float(header["cal_max"])
  if not high > low:
    if values.dtype == np.uint8:
      return None
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if values.dtype.kind in "iu" and low >= 0 and high <= 255:  # 8 bits that were stored as more
      return None
  return (low + high) / 2, high - low, "LINEAR_EXACT"
