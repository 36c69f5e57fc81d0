"""What the readers of this folder are told, what they tell, and how each of them is called."""
import dataclasses
from collections.abc import Generator
from typing import NamedTuple, Protocol

import numpy as np
from av.video.frame import VideoFrame


class FrameFolder(NamedTuple):
  """A folder of frames, or a NIfTI file, of a known rate, in frames a second; a plain path takes data.frame_rate."""
  path: str
  fps: float


Content = str | bytes | FrameFolder  # name of a file or a folder of frames, or the bytes of a file


@dataclasses.dataclass(frozen=True)
class VideoInfo:
  """Seconds from the first frame to the end of the last; mean frames per second; pixels of the upright frame.

  burned_in: a DICOM header says that there is text in its pixels.
  """
  duration_s: float
  fps: float
  width: int
  height: int
  burned_in: bool = False


@dataclasses.dataclass(frozen=True)
class Decoding:
  """The fields of config.data that decide how pixels are read; hashable."""
  max_pixels: int
  mask: tuple[tuple[float, float, float, float], ...] = ()
  crop: str = "centre"
  window: tuple[float, ...] = ()
  frame_rate: float = 0.0


class Reader(Protocol):
  """A module of this folder that reads one kind of content. All raise DataError with a reason of one short line."""

  def frames_at(self, content: Content, times_s: np.ndarray,
                how: Decoding) -> Generator[VideoFrame, None, None]:
    """For each of the rising times the nearest frame, the same object where it repeats; past the end the last one."""
    ...

  def duration_s(self, content: Content, how: Decoding) -> float:
    """Seconds, by the header where it says so."""
    ...

  def probe(self, content: Content, how: Decoding) -> VideoInfo:
    """Looks at all of the content, decodes some of it."""
    ...
