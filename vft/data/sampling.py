"""Which moments of a video a clip shows: by time, so that it lasts equally long at any frame rate."""
import numpy as np


def clip_times(duration_s: float, *, num_frames: int, fps: float, start_s: float = 0.0, end_s: float | None = None,
               view: int = 0, views: int = 1, rng: np.random.Generator | None = None,
               single_frame: bool = False) -> np.ndarray:
  """(num_frames,) float64 seconds after the first frame, 1 / fps apart, within [start_s, end_s] of the video.

  With `rng` the clip starts at random; otherwise it is number `view` of `views` clips spread evenly from the start of
  the span to its end (one view: the centre). A span shorter than the clip is shown from its start and its last frame
  is repeated. `single_frame`: the middle frame of the clip, num_frames times. `end_s` None or nan: to the end.
  """
  end = duration_s if end_s is None or not end_s < duration_s else end_s
  slack = max(0.0, end - start_s - num_frames / fps)
  share = rng.uniform() if rng is not None else view / (views - 1) if views > 1 else 0.5
  times = start_s + slack * share + np.arange(num_frames) / fps
  # The reader repeats the last frame of the file; inside a file, the frame at end_s is already the next span's.
  last = end if end >= duration_s else max(start_s, end - 0.5 / fps)
  times = np.minimum(times, last)
  return np.full(num_frames, times[num_frames // 2]) if single_frame else times
