"""One file looked at more closely than a run does: frames here and there, or all; runs in a process of its own."""
from __future__ import annotations

import io
import random
from typing import Any

import imagehash
import numpy as np
from PIL import Image

from vft.data import readers
from vft.data.inspection import DECODED, LOOKED, Inspection, failed
from vft.errors import DataError

HASHED = (1 / 8, 3 / 8, 5 / 8, 7 / 8)  # where, as shares of the length, the frames lie that are hashed
RANDOM = 2  # more frames, at places drawn from the digest of the file
SIDE = 128  # pixels of the squares that are hashed
BITS = 16  # squared: bits of the hash of a frame. With 8 x 8 simulated echo cines of two patients were too alike
SHORT_S = 20.0  # up to this length one pass over a video is quicker than a seek to each frame
THUMBNAIL = 96  # pixels
BLACK = 20  # grey level: what is darker everywhere is black; video black is 0 to 16
SAME = 8  # grey levels that encoding may make of one value
STILL = 0.001  # share of the values of a still video that change by more
FLAT = 2.0  # standard deviation of the pixels of a frame without content


def look(content: readers.Content, sha256: str, *, full: bool, reading: dict[str, Any]) -> Inspection:
  """Decodes the first and the last frames, HASHED and RANDOM ones, or all; DataErrors become the reason."""
  depth, frames = DECODED if full else LOOKED, 0
  try:
    info = readers.probe(content, **reading)
    if full:
      frames = readers.decode_all(content, info, **reading)
    rng = random.Random(sha256)  # noqa: S311
    shares = sorted([*((s, True) for s in HASHED), *((rng.random(), False) for _ in range(RANDOM))])
    seen = _Seen()
    for square, hashed in _looks(content, [s * info.duration_s for s, _ in shares], [h for _, h in shares], info,
                                 seen, reading):
      seen.take(square, hashed)
  except DataError as e:
    return failed(sha256, e, depth)
  several = info.duration_s * info.fps > 1.5
  return Inspection(sha256, duration_s=round(info.duration_s, 6), fps=info.fps, width=info.width, height=info.height,
                    burned_in=info.burned_in, depth=depth, frames=frames, notes=seen.notes(several),
                    borders=seen.borders(), hashes=seen.hashes(), thumbnail=seen.thumbnail())


def _looks(content: readers.Content, times_s: list[float], hashed: list[bool], info: readers.VideoInfo, seen: _Seen,
           reading: dict[str, Any]):
  """(square, whether to hash it) of each time; `seen` gets the whole frames."""
  groups = [times_s] if info.duration_s <= SHORT_S else [[t] for t in times_s]
  wanted = iter(hashed)
  for times in groups:
    for frame, square in readers.look(content, np.array(times), resize=SIDE, **reading):
      seen.whole(frame)
      yield square, next(wanted)


class _Seen:
  """What is kept of the frames, none of them whole."""

  def __init__(self):
    self._rows = self._columns = np.zeros(0, np.uint8)  # the brightest of each row and column, over all frames
    self._low, self._high = 255, 0
    self._first: np.ndarray | None = None
    self._moves = False
    self._hashed: list[np.ndarray] = []

  def whole(self, frame: np.ndarray) -> None:
    """(H, W, 3) uint8."""
    bright = np.maximum(np.maximum(frame[..., 0], frame[..., 1]), frame[..., 2])  # max(axis=-1) takes 6 times as long
    rows, columns = bright.max(axis=1), bright.max(axis=0)
    if self._rows.shape == rows.shape and self._columns.shape == columns.shape:
      rows, columns = np.maximum(rows, self._rows), np.maximum(columns, self._columns)
    self._rows, self._columns = rows, columns
    self._low, self._high = min(self._low, int(frame.min())), max(self._high, int(rows.max()))

  def take(self, square: np.ndarray, hashed: bool) -> None:
    """(SIDE, SIDE, 3) uint8."""
    self._first = square if self._first is None else self._first
    self._moves |= bool((np.abs(square.astype(np.int16) - self._first) > SAME).mean() > STILL)
    if hashed:
      self._hashed.append(square)

  def notes(self, several: bool) -> tuple[str, ...]:
    """What is odd of the whole video; `several`: it has more frames than one."""
    one = "black" if self._high <= BLACK else "one value" if self._high - self._low <= SAME else ""
    still = "one frame" if not several else "" if self._moves or one else "still"
    return tuple(n for n in (one, still) if n)

  def borders(self) -> tuple[float, float, float, float]:
    """Shares that are black at left, top, right and bottom; zeros where all is black."""
    if self._high <= BLACK:
      return 0.0, 0.0, 0.0, 0.0
    columns, rows = np.flatnonzero(self._columns > BLACK), np.flatnonzero(self._rows > BLACK)
    width, height = len(self._columns), len(self._rows)
    return (round(int(columns[0]) / width, 4), round(int(rows[0]) / height, 4),
            round(1 - (int(columns[-1]) + 1) / width, 4), round(1 - (int(rows[-1]) + 1) / height, 4))

  def hashes(self) -> str:
    """64 hexadecimal digits a frame; "" where more than half of the frames have no content."""
    grey = [Image.fromarray(square).convert("L") for square in self._hashed]
    flat = [np.asarray(g).std() < FLAT for g in grey]
    if sum(flat) > len(flat) / 2:
      return ""
    zeros = "0" * (BITS * BITS // 4)
    return "".join(zeros if f else str(imagehash.phash(g, hash_size=BITS)) for g, f in zip(grey, flat, strict=True))

  def thumbnail(self) -> bytes:
    """A JPEG file of a frame from the middle."""
    out = io.BytesIO()
    image = Image.fromarray(self._hashed[len(self._hashed) // 2])
    image.resize((THUMBNAIL, THUMBNAIL)).save(out, "JPEG", quality=80)
    return out.getvalue()
