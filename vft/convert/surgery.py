"""Arrays that are made to fit another input: more frames, other pixels, other channels, two dimensions to three.

An array that is of the right shape already is never touched.
"""
import re

import numpy as np

from vft.errors import WeightsError


def fit(name: str, array: np.ndarray, shape: tuple[int, ...], inflate: str = "centre") -> np.ndarray | None:
  """The array in the wanted shape, or None where no such change makes sense.

  Position embeddings ("pos_*", (..., D)) are interpolated along each axis of their grid. Kernels: a 2-D one gets a time
  axis (`inflate`: all of it in the middle, or the average over all frames, arXiv:1705.07750, sec. 2.1); input channels
  3 to 1 are summed, 1 to 3 shared; the weights of the patch kernel of "embed/" are spread over the new cells.
  """
  last = name.rsplit("/", 1)[-1]
  if array.shape == shape:
    return array
  if last.startswith("pos_") and array.ndim == len(shape) and array.shape[-1] == shape[-1]:
    if array.ndim == 4 and array.size == np.prod(shape):  # of space and time in one, whose file only has their number
      return array.reshape(shape)
    return _along(array, [_cubic(*sizes) for sizes in zip(array.shape[:-1], shape[:-1], strict=True)])
  if last != "kernel" or len(shape) < 4:
    return None
  if array.ndim == 4 and len(shape) == 5:
    array = _inflate(array, shape[0], inflate)
  if array.ndim == len(shape) and {array.shape[-2], shape[-2]} == {1, 3}:
    array = array.sum(-2, keepdims=True) if shape[-2] == 1 else np.repeat(array / 3, 3, axis=-2)
  if array.ndim == len(shape) and array.shape[-2] == shape[-2] and re.match("embed/", name):
    array = _along(array, [_spread(*sizes) for sizes in zip(array.shape[:-2], shape[:-2], strict=True)])
  return array.astype(np.float32) if array.shape == shape else None


def _inflate(array: np.ndarray, frames: int, how: str) -> np.ndarray:
  """(H, W, I, O) -> (frames, H, W, I, O); a video that stands still gives the response of the image."""
  if how == "average":
    return np.repeat(array[None] / frames, frames, axis=0)
  out = np.zeros((frames, *array.shape), array.dtype)
  out[frames // 2] = array
  return out


def _along(array: np.ndarray, matrices: list[np.ndarray]) -> np.ndarray:
  """The product of the first axis with the first matrix (want, have), the second with the second, ..., in float32."""
  for axis, matrix in enumerate(matrices):
    if matrix.shape[0] != matrix.shape[1]:
      array = np.moveaxis(np.tensordot(matrix, array, (1, axis)), 0, axis)
  return np.ascontiguousarray(array, np.float32)


def _cubic(have: int, want: int) -> np.ndarray:
  """(want, have): cubic convolution with a = -3/4 at the centres of cells, the edge repeated.

  That is torch's bicubic interpolation, by which DINOv2 and the ports in transformers change their positions. Its error
  was 0.3 to 0.7 of linear interpolation's on sines and random waves, about equal on the slowest waves.
  """
  cells, a = np.arange(-2, have + 2), -0.75
  x = np.abs(((np.arange(want) + 0.5) * have / want - 0.5)[:, None] - cells)
  near, far = ((a + 2) * x - (a + 3)) * x**2 + 1, a * (((x - 5) * x + 8) * x - 4)
  return np.where(x < 1, near, np.where(x < 2, far, 0)) @ np.eye(have)[np.clip(cells, 0, have - 1)]


def _spread(have: int, want: int) -> np.ndarray:
  """(want, have): each weight is shared among the new cells that its own cell covers, so their sum stays.

  Random smooth images, 16 cells to 20 and 32: the response of a random kernel moved by 0.00 to 0.07 of itself; by 0.01
  to 0.20 with the pseudo-inverse of arXiv:2212.08013, by 0.00 to 0.12 with linear interpolation. To 14 and 8 this and
  the pseudo-inverse differ little; linear interpolation does not keep the sum.
  """
  ends = [np.arange(n + 1) / n for n in (have, want)]
  shared = (np.minimum(ends[1][1:, None], ends[0][1:]) - np.maximum(ends[1][:-1, None], ends[0][:-1])) * have
  return np.maximum(shared, 0)


def map_labels(array: np.ndarray, initial: np.ndarray, labels: tuple[str, ...],
               classes: tuple[str, ...]) -> tuple[np.ndarray, list[str]]:
  """Columns (..., K) of the published classifier under the classes of the same name; also those names.

  Case and the characters " _-" do not count. Other classes keep their initial value. Raises WeightsError where the
  two classifiers have another input.
  """
  if array.shape[:-1] != initial.shape[:-1]:
    raise WeightsError(f"config.init.map_labels: the classifier of the weights takes {array.shape[0]} channels, that "
                       f"of the model {initial.shape[0]}. Use --config.model.head=original, or "
                       "--config.init.map_labels=False.")
  def plain(text: str) -> str:
    return re.sub(r"[\s_-]+", " ", text).strip().lower()
  where, out, found = {plain(label): i for i, label in enumerate(labels)}, np.array(initial), []
  for k, name in enumerate(classes):
    if plain(name) in where:
      out[..., k] = array[..., where[plain(name)]]
      found.append(name)
  return out, found
