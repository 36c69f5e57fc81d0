"""Arrays that are made to fit another input: more frames, other pixels, other channels, two dimensions to three.

An array that is of the right shape already is never touched.
"""
import re

import numpy as np
from scipy import ndimage

INFLATE = ("centre", "average")


def fit(name: str, array: np.ndarray, shape: tuple[int, ...], inflate: str = "centre") -> np.ndarray | None:
  """The array in the wanted shape, or None where no such change makes sense.

  Position embeddings ("pos_*", (..., D)) are interpolated along each axis of their grid. Kernels: a 2-D one gets a time
  axis (`inflate`: all of it in the middle, or the average over all frames, arXiv:1705.07750, sec. 2.1); input channels
  3 to 1 are summed, 1 to 3 shared; the patch kernel of "embed/" is interpolated and keeps its sum along each axis.
  """
  last = name.rsplit("/", 1)[-1]
  if last.startswith("pos_") and array.ndim == len(shape) and array.shape[-1] == shape[-1]:
    return _zoom(array, shape)
  if last != "kernel" or len(shape) < 4 or array.shape[-1] != shape[-1]:
    return None
  if array.ndim == 4 and len(shape) == 5:
    array = _inflate(array, shape[0], inflate)
  if array.ndim == len(shape) and {array.shape[-2], shape[-2]} == {1, 3}:
    array = array.sum(-2, keepdims=True) if shape[-2] == 1 else np.repeat(array / 3, 3, axis=-2)
  if array.ndim == len(shape) and array.shape[-2] == shape[-2] and re.match("embed/", name):
    array = _zoom(array, shape) * np.prod([a / b for a, b in zip(array.shape[:-2], shape[:-2], strict=True)])
  return array.astype(np.float32) if array.shape == shape else None


def _inflate(array: np.ndarray, frames: int, how: str) -> np.ndarray:
  """(H, W, I, O) -> (frames, H, W, I, O); a video that stands still gives the response of the image."""
  if how == "average":
    return np.repeat(array[None] / frames, frames, axis=0)
  out = np.zeros((frames, *array.shape), array.dtype)
  out[frames // 2] = array
  return out


def _zoom(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
  """Linear interpolation at the centres of cells, along the axes whose length differs."""
  factors = [want / have for want, have in zip(shape, array.shape, strict=True)]
  return np.asarray(ndimage.zoom(array, factors, order=1, mode="nearest", grid_mode=True))


def map_labels(array: np.ndarray, initial: np.ndarray, labels: tuple[str, ...],
               classes: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
  """Columns (..., K) of the published classifier under the classes of the same name; also those names.

  Case and the characters " _-" do not count. Other classes keep their initial value.
  """
  def plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().lower()
  where, out, found = {plain(label): i for i, label in enumerate(labels)}, np.array(initial), []
  for k, name in enumerate(classes):
    if plain(name) in where:
      out[..., k] = array[..., where[plain(name)]]
      found.append(name)
  return out, found
