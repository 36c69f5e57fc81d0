"""Batches of clips of files that nobody has labelled: windows, or views of the whole video."""
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vft.data import readers, sampling
from vft.errors import DataError
from vft.predict.videos import Video

NEAR_S = 5.0  # windows with a smaller gap are decoded in one go, which is faster than a seek to each


def batches(paths: Sequence[Video], config: ConfigDict, seen: list[tuple[Video, np.ndarray]],
            bad: dict[Video, str]) -> Iterator[dict[str, Any]]:
  """Batches of clips of one video each. Row i is described by seen[i]: the file and the seconds (V, T) of its frames.

  A file that cannot be read gets its reason in `bad`; clips before a fault stay.
  """
  devices = jax.device_count()
  size = -(-config.features.batch // devices) * devices if config.data.stride_s else devices
  for path in paths:
    try:
      duration_s = readers.probe(str(path), **readers.options(config.data)).duration_s
      times = _times(round(duration_s, 6), config)  # as a manifest has it: where two frames are as near, digits decide
      for start in range(0, len(times), size):
        part = times[start:start + size]
        video, rows, pad = _read(path, part, config), len(seen) + np.arange(len(part)), size - len(part)
        seen += [(path, t) for t in part]
        yield {"video": np.pad(video, [(0, pad)] + [(0, 0)] * 5), "copy": np.zeros(size, np.int32),
               "row": np.pad(rows, (0, pad), constant_values=-1).astype(np.int32), "mask": np.arange(size) < len(part)}
    except DataError as e:
      bad[path] = str(e)


def _times(duration_s: float, config: ConfigDict) -> np.ndarray:
  """(n, V, T) seconds: one line of the table each; n windows with one view, or all views of the whole video."""
  sampler, views = sampling.Sampler.make(config.data), config.eval.views
  if config.data.stride_s:
    return sampler.windows(duration_s, config.data.stride_s)[:, None]
  return np.stack([sampler.times(duration_s, view=v, views=views) for v in range(views)])[None]


def _read(path: Video, times: np.ndarray, config: ConfigDict) -> np.ndarray:
  """(n, V, T) seconds -> (n, V x crops, T, R, R, 3); windows close to each other are decoded in one go."""
  (n, v, t), d, crops = times.shape, config.data, config.eval.crops
  one_go = 0 < d.stride_s < np.ptp(times[0]) + NEAR_S
  parts = [readers.read_clip(str(path), some, resize=d.resize, crops=crops, **readers.options(d)).reshape(
      crops, -1, t, d.resize, d.resize, 3) for some in (times.reshape(1, -1) if one_go else times.reshape(-1, t))]
  video = np.concatenate(parts, axis=1).swapaxes(0, 1)  # (n V, crops, T, R, R, 3)
  return video.reshape(n, v * crops, *video.shape[2:])
