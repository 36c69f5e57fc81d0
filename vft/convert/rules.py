"""What a family's RULES are made of: (pattern of the whole foreign name, our name or names, transform).

The first rule whose pattern matches decides. Our name may use the groups of the pattern (r"block_\1/kernel"); several
names go with a transform that returns as many arrays, None for one that the file does not have; no name, (), drops an
array that is known and not needed.
"""
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vft.errors import WeightsError

Rule = tuple[str, str | tuple[str, ...], Callable[[np.ndarray], Any]]
Named = list[tuple[str, tuple[int, ...]]]


def same(array: np.ndarray) -> np.ndarray:
  """As it is: biases, norms, and kernels of Keras and flax."""
  return array


def torch_kernel(array: np.ndarray) -> np.ndarray:
  """A torch kernel (O, I, ...) of a dense layer or a convolution of any dimension -> (..., I, O)."""
  return np.moveaxis(array, (0, 1), (-1, -2))


def split_kernel(array: np.ndarray) -> list[np.ndarray]:
  """A torch kernel (3 D, D) of query, key and value in one -> three of (D, D)."""
  return [part.T for part in np.split(array, 3)]


def split_bias(array: np.ndarray) -> list[np.ndarray]:
  """(3 D,) -> three of (D,)."""
  return np.split(array, 3)


def torch_layer(theirs: str, ours: str) -> tuple[Rule, Rule]:
  """Rules for the weight and bias of a torch dense layer or convolution, named up to the last dot."""
  return (theirs + r"\.weight", ours + "/kernel", torch_kernel), (theirs + r"\.bias", ours + "/bias", same)


def torch_norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
  """Likewise of a LayerNorm."""
  return (theirs + r"\.weight", ours + "/scale", same), (theirs + r"\.bias", ours + "/bias", same)


def apply(arrays: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> tuple[dict[str, np.ndarray], Named]:
  """Renames and reshapes; also returns name and shape of what no rule knows. Raises WeightsError for a bad shape."""
  out: dict[str, np.ndarray] = {}
  unknown: Named = []
  compiled = [(re.compile(pattern), names, transform) for pattern, names, transform in rules]
  for foreign, array in arrays.items():
    found = next(((m, names, change) for pattern, names, change in compiled if (m := pattern.fullmatch(foreign))), None)
    if found is None:
      unknown.append((foreign, array.shape))
      continue
    match, names, transform = found
    if not names:
      continue
    try:
      values = transform(array)
    except (ValueError, IndexError) as e:
      raise WeightsError(f"{foreign} has the shape {array.shape}, which its rule cannot convert: {e}.") from e
    pairs = [(names, values)] if isinstance(names, str) else zip(names, values, strict=True)
    for name, value in pairs:
      if value is None:
        continue
      ours = re.sub(r"(?<=block_)\d(?=/)", r"0\g<0>", match.expand(name))  # block_3 -> block_03: depth order is lexical
      out[ours] = np.ascontiguousarray(value, np.float32)
  return out, unknown
