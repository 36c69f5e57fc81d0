"""Where the ultrasound image lies on the recorded screen: the region that moves, without the text around."""
from collections.abc import Iterable
from typing import NamedTuple, cast

import numpy as np
from PIL import Image, ImageDraw

from vft.errors import DataError

LOOKS = 8  # frames, spread over the video
SIDE = 320  # pixels of the long side in the search
# Grey levels between a dark and a bright look: in an analogue recording everything flickers by the lower one.
MOVES = (3, 8)
WHOLE = 0.9  # share of the frame
BRIGHT = 16  # grey level, where nothing moves
SHINES = 60  # grey level
FEW = 0.005  # share of shining pixels
DENSE = 0.4  # share of such pixels around one in the image; letters and the line of an ECG fill less
AROUND = 1 / 29  # side of the square in which it is counted, to the long side of the frame: more than a letter
SMALLEST = 0.03  # share of the frame


class Sector(NamedTuple):
  """A convex outline: corners (x, y) as shares of width and height. Sector, trapezoid and rectangle are all convex."""
  corners: tuple[tuple[float, float], ...]

  def mask(self, height: int, width: int) -> np.ndarray:
    """(H, W) bool: True inside."""
    shape = Image.new("1", (width, height))
    ImageDraw.Draw(shape).polygon([(x * width - 0.5, y * height - 0.5) for x, y in self.corners], fill=1)
    return np.asarray(shape)

  def cut(self, image: np.ndarray) -> np.ndarray:
    """(H, W, 3) -> (S, S, 3): the square around the sector, black outside of it."""
    height, width = image.shape[:2]
    inside = self.mask(height, width)
    rows, columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    top, left, tall, wide = rows[0], columns[0], rows[-1] - rows[0] + 1, columns[-1] - columns[0] + 1
    side = max(tall, wide)
    out = np.zeros((side, side, 3), np.uint8)
    y, x = (side - tall) // 2, (side - wide) // 2
    part = slice(top, top + tall), slice(left, left + wide)
    out[y:y + tall, x:x + wide] = image[part] * inside[part][..., None]
    return out


def find_sector(looks: Iterable[np.ndarray]) -> Sector:
  """The convex outline of the largest region that changes between `looks` (H, W, 3) uint8, or of a still image's light.

  Raises DataError if there is none of 3 % of the frame. Only small copies of the looks are kept.
  """
  levels = np.sort([_shrink(image.max(-1)) for image in looks], axis=0)
  quarter = len(levels) // 4  # the line of an ECG is at one place in few looks: without the quarters it does not move
  region = _hull(_moving(levels[-1 - quarter] - levels[quarter]))
  if region is None:
    region = _hull(_largest(levels[-1] > BRIGHT))  # a still image
  if region is None:
    raise DataError(f"no ultrasound sector: nothing of {SMALLEST:.0%} of the frame moves or shines; give boxes by "
                    "data.mask and take data.crop=centre")
  wider = _hull(_moving(levels[-1] - levels[0]))
  if wider is not None:  # the dim edges of the sector as well, but nothing that shines, such as letters
    gained = levels[-1][wider.mask & ~region.mask]
    if (gained > SHINES).mean() < FEW if gained.size else False:
      region = wider
  return region.sector


class _Region(NamedTuple):
  sector: Sector
  mask: np.ndarray  # (H, W) bool


def _hull(region: np.ndarray) -> _Region | None:
  """The convex hull of an (H, W) bool region, None if that is too small."""
  from scipy import ndimage, spatial  # 0.3 s that only those pay who ask for a sector
  if region.mean() < SMALLEST:
    return None
  edges = np.argwhere(region != cast(np.ndarray, ndimage.binary_erosion(region)))
  points = np.concatenate([edges + shift for shift in ((0, 0), (0, 1), (1, 0), (1, 1))])  # pixels have an extent
  height, width = region.shape
  corners = points[spatial.ConvexHull(points).vertices] / (height, width)
  sector = Sector(tuple((float(x), float(y)) for y, x in corners))
  return _Region(sector, sector.mask(height, width))


def _moving(change: np.ndarray) -> np.ndarray:
  """(H, W) bool: the largest region that changes by the first of MOVES; by the second, if that is the whole frame."""
  region = _largest(change > MOVES[0])
  return _largest(change > MOVES[1]) if region.mean() > WHOLE else region


def _shrink(grey: np.ndarray) -> np.ndarray:
  """(H, W) uint8 -> float32, the long side at most SIDE, by means over areas."""
  height, width = grey.shape
  scale = min(1.0, SIDE / max(height, width))
  size = max(1, round(width * scale)), max(1, round(height * scale))
  return np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX), np.float32)


def _largest(pixels: np.ndarray) -> np.ndarray:
  """(H, W) bool: the largest connected region in which `pixels` are dense, holes filled."""
  from scipy import ndimage
  reach = max(2, round(AROUND * max(pixels.shape) / 2))
  share = np.asarray(ndimage.uniform_filter(pixels.astype(np.float32), 2 * reach + 1, mode="nearest"))
  opened = ndimage.binary_opening(share > DENSE, iterations=reach)  # letters and lines are gone
  near = ndimage.binary_dilation(pixels, iterations=2)
  dense = np.logical_and(opened, near)
  labels, count = cast(tuple[np.ndarray, int], ndimage.label(dense))
  if not count:
    return dense
  sizes = np.bincount(labels.ravel())[1:]
  return np.asarray(ndimage.binary_fill_holes(labels == 1 + int(sizes.argmax())))
