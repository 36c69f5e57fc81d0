"""From a decoded frame to the square that a clip holds: window, mask, crop, scale."""
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from vft.data.readers.options import Decoding
from vft.data.readers.sector import Sector
from vft.errors import DataError

MAX_ASPECT = 20  # long side to short side; a frame of 1 x 1,000,000 pixels would fill the memory when scaled
ONE = 1  # thread of a scaler: starting more costs more than a frame does, and clips are decoded side by side


def check_size(width: int, height: int, max_pixels: int) -> None:
  """Raises DataError for a frame that would fill the memory."""
  if width * height > max_pixels:
    raise DataError(f"frame {width}x{height} over data.max_pixels {max_pixels}")
  if min(width, height) > 0 and max(width, height) > MAX_ASPECT * min(width, height):
    raise DataError(f"frame {width}x{height}: one side over {MAX_ASPECT} times the other")


def apply_window(grey: np.ndarray, centre: float, width: float, function: str = "LINEAR") -> np.ndarray:
  """Grey values of any type and shape -> uint8, by the functions of DICOM PS3.3, C.11.2.1.2 and C.11.2.1.3."""
  values = grey.astype(np.float32)
  if function == "SIGMOID":
    share = 1 / (1 + np.exp(np.clip(-4 * (values - centre) / width, -80, 80)))
  elif function == "LINEAR_EXACT" or width <= 1:
    share = (values - centre) / max(width, 1e-6) + 0.5
  else:
    share = (values - (centre - 0.5)) / (width - 1) + 0.5
  return np.round(255 * np.clip(share, 0, 1)).astype(np.uint8)


def to_frame(image: np.ndarray) -> VideoFrame:
  """(H, W, 3) or, grey, (H, W) uint8 -> the frame that `square` takes."""
  colour = image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=-1)
  return VideoFrame.from_ndarray(np.ascontiguousarray(colour), format="rgb24")


def square(frame: VideoFrame, resize: int, how: Decoding, sector: Sector | None,
           scaler: VideoReformatter, crops: int = 1) -> np.ndarray:
  """(crops, resize, resize, 3) uint8: upright, masked, the short side scaled, squares cut out; the sector's is whole.

  `crops`: 1 = the centre; 3 = start, centre and end of the long side.
  """
  if how.mask or sector or _windowed(frame, how):  # else only small frames are turned into arrays: 3 times as fast
    image = upright(frame, how, scaler)
    frame = to_frame(sector.cut(image) if sector else image)
  scale = resize / min(frame.width, frame.height)
  width, height = (max(resize, round(side * scale)) for side in (frame.width, frame.height))
  pixels = scaler.reformat(frame, width, height, "rgb24", threads=ONE).to_ndarray()
  corners = [(int((height - resize) * p), int((width - resize) * p)) for p in ((0.5,) if crops == 1 else (0, 0.5, 1))]
  cut = np.stack([pixels[top:top + resize, left:left + resize] for top, left in corners])
  return np.rot90(cut, round(frame.rotation / 90), axes=(1, 2))


def upright(frame: VideoFrame, how: Decoding, scaler: VideoReformatter) -> np.ndarray:
  """(H, W, 3) uint8 at full size, windowed where it is grey, turned, with the boxes of `how.mask` black."""
  if _windowed(frame, how):
    image = np.repeat(apply_window(_grey(frame, scaler), how.window[0], how.window[1])[..., None], 3, axis=-1)
  else:
    image = scaler.reformat(frame, frame.width, frame.height, "rgb24", threads=ONE).to_ndarray()
  return paint(np.rot90(image, round(frame.rotation / 90)), how.mask)


def paint(image: np.ndarray, boxes: tuple[tuple[float, float, float, float], ...]) -> np.ndarray:
  """A copy of (H, W, 3) with boxes (x0, y0, x1, y1), shares of width and height, black; touched pixels count whole."""
  image = image.copy()
  height, width = image.shape[:2]
  for x0, y0, x1, y1 in boxes:
    image[int(np.floor(y0 * height)):int(np.ceil(y1 * height)), int(np.floor(x0 * width)):int(np.ceil(x1 * width))] = 0
  return image


def _windowed(frame: VideoFrame, how: Decoding) -> bool:
  return bool(how.window) and frame.format.name.startswith("gray")


def _grey(frame: VideoFrame, scaler: VideoReformatter) -> np.ndarray:
  """(H, W) in the file's own values: FFmpeg spreads 10 and 12 bits over 16."""
  bits = frame.format.components[0].bits
  if bits == 8:
    return frame.to_ndarray()
  wide = scaler.reformat(frame, frame.width, frame.height, "gray16le", threads=ONE).to_ndarray()
  return wide.astype(np.uint16) >> (16 - bits)
