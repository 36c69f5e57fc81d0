"""Which moments of a video a clip shows: by time, so that it lasts equally long at any frame rate."""
from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
  from ml_collections import ConfigDict


@dataclasses.dataclass(frozen=True)
class Sampler:
  """How `config.data` cuts clips out of videos."""
  num_frames: int
  fps: float  # of the frames of a clip
  uniform: bool  # one frame of each part of the span, whatever its length
  single_frame: bool

  @classmethod
  def make(cls, data: ConfigDict) -> Sampler:
    fps = data.num_frames / data.duration_s if data.sampling == "duration" else data.fps
    return cls(data.num_frames, fps, data.sampling == "uniform", data.single_frame)

  def times(self, duration_s: float, *, start_s: float = 0.0, end_s: float | None = None, view: int = 0, views: int = 1,
            rng: np.random.Generator | None = None) -> np.ndarray:
    """(num_frames,) seconds as `clip_times` or, where uniform, `segment_times` has them."""
    cut = segment_times if self.uniform else clip_times
    return cut(duration_s, num_frames=self.num_frames, fps=self.fps, start_s=start_s, end_s=end_s, view=view,
               views=views, rng=rng, single_frame=self.single_frame)

  def windows(self, duration_s: float, stride_s: float) -> np.ndarray:
    """(n, num_frames) seconds of clips that start every `stride_s` seconds, and of a last one that ends with the video.

    At least one, at the start. Where uniform, each window is num_frames / fps s long, as if dense.
    """
    last = max(duration_s - self.num_frames / self.fps, 0.0)
    starts = np.arange(0.0, last + 1e-9, stride_s)
    starts = np.append(starts, last) if last - starts[-1] > 0.5 / self.fps else starts
    times = np.minimum(starts[:, None] + np.arange(self.num_frames) / self.fps, duration_s)
    return np.broadcast_to(times[:, self.num_frames // 2, None], times.shape) if self.single_frame else times


def clip_times(duration_s: float, *, num_frames: int, fps: float, start_s: float = 0.0, end_s: float | None = None,
               view: int = 0, views: int = 1, rng: np.random.Generator | None = None,
               single_frame: bool = False) -> np.ndarray:
  """(num_frames,) float64 seconds after the first frame, 1 / fps apart, within [start_s, end_s] of the video.

  With `rng` the clip starts at random; otherwise it is number `view` of `views` clips spread evenly from the start of
  the span to its end (one view: the centre). A span shorter than the clip is shown from its start and its last frame
  is repeated. `single_frame`: the middle frame of the clip, num_frames times. `end_s` None or nan: to the end.

  >>> clip_times(4.0, num_frames=4, fps=2.0)  # the middle two of four seconds
  array([1. , 1.5, 2. , 2.5])
  >>> clip_times(1.0, num_frames=4, fps=2.0)  # too short: the last frame is repeated
  array([0. , 0.5, 1. , 1. ])
  """
  end, last = _end(duration_s, start_s, end_s, fps)
  slack = max(0.0, end - start_s - num_frames / fps)
  share = rng.uniform() if rng is not None else view / (views - 1) if views > 1 else 0.5
  times = np.minimum(start_s + slack * share + np.arange(num_frames) / fps, last)
  return np.full(num_frames, times[num_frames // 2]) if single_frame else times


def segment_times(duration_s: float, *, num_frames: int, fps: float, start_s: float = 0.0, end_s: float | None = None,
                  view: int = 0, views: int = 1, rng: np.random.Generator | None = None,
                  single_frame: bool = False) -> np.ndarray:
  """(num_frames,) seconds, one in each of num_frames equal parts of the whole span: segments (arXiv:1608.00859).

  With `rng` each stands at a random place of its part; otherwise at the centre or, for more views, at (view + 1/2) /
  views of it. `fps` only keeps the last one out of the next span, as in `clip_times`.

  >>> segment_times(8.0, num_frames=4, fps=25.0)
  array([1., 3., 5., 7.])
  """
  end, last = _end(duration_s, start_s, end_s, fps)
  share = rng.uniform(size=num_frames) if rng is not None else (view + 0.5) / views
  times = np.minimum(start_s + (end - start_s) * (np.arange(num_frames) + share) / num_frames, last)
  return np.full(num_frames, times[num_frames // 2]) if single_frame else times


def _end(duration_s: float, start_s: float, end_s: float | None, fps: float) -> tuple[float, float]:
  """The end of the span and the last moment to show, in seconds."""
  end = duration_s if end_s is None or not end_s < duration_s else end_s
  # The reader repeats the last frame of the file; inside a file, the frame at end_s is already the next span's.
  return end, end if end >= duration_s else max(start_s, end - 0.5 / fps)
