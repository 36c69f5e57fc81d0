"""Maps from the input alone, for any model: integrated gradients, temporal occlusion; and the deletion curve."""
from functools import partial
from typing import Any

import jax
import numpy as np

from vft.explain.subject import Subject, Target, to_video

PIXELS = 800_000  # frames x height x width that are scored at once


def integrated_gradients(subject: Subject, video: np.ndarray, steps: int = 32, still: bool = False) -> np.ndarray:
  """Integrated gradients (arXiv:1703.01365, eq. 3): (B, T, H, W, C) -> (B, T, H, W), signed.

  They begin at black, or where `still` at the mean frame of the clip: then only what moves is given a share. Their sum
  is the score of the video less that of the beginning, the better the more steps (midpoints of equal parts).
  """
  begin = video.mean(axis=1, keepdims=True) if still else subject.black.reshape(1, 1, 1, 1, -1)
  total = np.zeros(video.shape, np.float32)
  for step in range(steps):
    total += _gradient(subject.model, subject.target, subject.variables, begin + (step + 0.5) / steps * (video - begin))
  return (total * (video - begin)).sum(axis=-1) / steps


@partial(jax.jit, static_argnums=(0, 1))
def _gradient(model: Any, target: Target, variables: Any, video: jax.Array) -> jax.Array:
  return jax.grad(lambda x: target.score(model.apply(variables, x)).sum())(video)


def occlusion(subject: Subject, video: np.ndarray, width: int = 3) -> np.ndarray:
  """Temporal occlusion: video (B, T, H, W, C) -> (B, T, 1, 1), what the score loses without the motion about a frame.

  `width` frames around it show the mean frame of the clip: the anatomy stays, the motion goes. May be negative.
  """
  whole, mean, drops = subject.score(video), video.mean(axis=1, keepdims=True), []
  for t in range(video.shape[1]):
    hidden = video.copy()
    hidden[:, max(0, t - width // 2):t + width // 2 + 1] = mean
    drops.append(whole - subject.score(hidden))
  return np.stack(drops, axis=1)[:, :, None, None]


def deletion(subject: Subject, video: np.ndarray, values: np.ndarray, steps: int = 16) -> np.ndarray:
  """Score of one clip (T, H, W, C) as the places of the highest values (T, H, W) turn black (arXiv:1806.07421).

  Returns (steps + 1,), from none to all of them.
  """
  rank = np.argsort(np.argsort(-values, axis=None, kind="stable")).reshape(values.shape)
  most = max(1, PIXELS // values.size)
  cuts, scores = rank.size * np.arange(steps + 1) // steps, []
  for start in range(0, len(cuts), most):
    gone = rank[None] < cuts[start:start + most, None, None, None]
    scores.append(subject.score(np.where(gone[..., None], subject.black, video[None])))
  return np.concatenate(scores)


def against_chance(subject: Subject, video: np.ndarray, values: np.ndarray, draws: int = 8) -> tuple[float, np.ndarray]:
  """Mean scores along the deletion curves of one clip (1, T, H, W, C): of its map, and (draws,) of random ones.

  Random maps are as rough as this one, (1, T', H', W'). Less is better: the score falls sooner.
  """
  rng = np.random.default_rng(0)
  scores = [float(deletion(subject, video[0], to_video(rough, video.shape[1:4])[0])[1:-1].mean())
            for rough in (values, *(rng.random(values.shape) for _ in range(draws)))]
  return scores[0], np.array(scores[1:])
