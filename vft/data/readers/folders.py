"""Folders of frames: png, jpg and bmp files in natural order (2.png before 10.png), one image in memory at a time."""
import os
import re
from collections.abc import Generator
from pathlib import Path

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image, ImageOps

from vft.data.readers.options import Content, Decoding, FrameFolder, VideoInfo
from vft.data.readers.pixels import apply_window, check_size, to_frame
from vft.errors import DataError

IMAGES = (".png", ".jpg", ".jpeg", ".bmp")
FORMATS = ("PNG", "JPEG", "BMP")  # whatever the name says, Pillow's other decoders stay unused


def frame_files(folder: str) -> list[str]:
  """The images that lie in a folder, in natural order. Raises DataError if there are none or a link leads outside."""
  try:
    with os.scandir(folder) as entries:
      found = [e for e in entries if e.name.lower().endswith(IMAGES) and not e.name.startswith(".")]
  except OSError as e:
    raise DataError(f"folder not readable: {e.strerror}") from None
  if not found:
    raise DataError("a folder without frames (png, jpg, bmp), not a file")
  for entry in found:
    if entry.is_symlink() and os.path.dirname(os.path.realpath(entry.path)) != os.path.realpath(folder):
      raise DataError(f"frame {entry.name!r} is a link that leads out of its folder")
  return [e.path for e in sorted(found, key=lambda e: _natural(e.name))]


def frames_at(content: Content, times_s: np.ndarray, how: Decoding) -> Generator[VideoFrame, None, None]:
  """See options.Reader."""
  path, fps = _place(content, how)
  files, last, frame = frame_files(path), -1, None
  for time in times_s:
    number = min(max(int(np.ceil(time * fps - 0.5 - 1e-9)), 0), len(files) - 1)  # the earlier of two equally near
    if number != last or frame is None:
      last, frame = number, to_frame(_read(files[number], how))
    yield frame


def duration_s(content: Content, how: Decoding) -> float:
  """See options.Reader."""
  path, fps = _place(content, how)
  return len(frame_files(path)) / fps


def probe(content: Content, how: Decoding) -> VideoInfo:
  """Looks at the header of every image, decodes the first and the last."""
  path, fps = _place(content, how)
  files = frame_files(path)
  for file in files:
    _open(file, how).close()
  first = _read(files[0], how)
  _read(files[-1], how)
  return VideoInfo(len(files) / fps, fps, first.shape[1], first.shape[0])


def _place(content: Content, how: Decoding) -> tuple[str, float]:
  path, fps = content if isinstance(content, FrameFolder) else (str(content), how.frame_rate)
  frame_files(path)  # what is not there comes before what is not known of it
  if fps <= 0:
    raise DataError("a folder of frames without a frame rate: give --config.data.frame_rate=HZ")
  return path, fps


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
  parts = re.split(r"([0-9]+)", name)
  return [(int(p), "") if i % 2 else (-1, p) for i, p in enumerate(parts)], name


def _open(path: str, how: Decoding) -> Image.Image:
  name = Path(path).name
  try:
    image = Image.open(path, formats=FORMATS)
  except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning) as e:
    raise DataError(f"frame {name!r} is no png, jpg or bmp ({type(e).__name__})") from None
  try:
    check_size(*image.size, how.max_pixels)
  except DataError:
    image.close()
    raise
  return image


def _read(path: str, how: Decoding) -> np.ndarray:
  """(H, W, 3) or, grey, (H, W) uint8, upright."""
  with _open(path, how) as image:
    try:
      image = ImageOps.exif_transpose(image)
      if image.mode.startswith("I"):  # 16 bits of grey
        window, function = (how.window, "LINEAR") if how.window else ((32767.5, 65535), "LINEAR_EXACT")
        return apply_window(np.asarray(image), window[0], window[1], function)
      if image.mode in ("L", "1") and how.window:
        return apply_window(np.asarray(image.convert("L")), how.window[0], how.window[1])
      return np.asarray(image.convert("RGB"))
    except (OSError, ValueError, SyntaxError, EOFError) as e:
      raise DataError(f"frame {Path(path).name!r} is damaged ({type(e).__name__})") from None
