"""What the readers share: an array that is still in its file, names in a tree, how much a file may unfold to."""
import itertools
import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from vft.errors import WeightsError

# Names are those of safetensors; "BF16" has no type of its own in numpy.
TYPES = {"F64": "f8", "F32": "f4", "F16": "f2", "BF16": "u2", "I64": "i8", "I32": "i4", "I16": "i2", "I8": "i1",
         "U64": "u8", "U32": "u4", "U16": "u2", "U8": "u1", "BOOL": "?"}
MOST_KEYS, DEEPEST = 200_000, 16  # of a tree: shared branches can make a small file an endless one
TRAINING = re.compile(r"opt|opt_\w+|optim\w*|\w*scheduler\w*|\w*scaler|amp")  # branches that hold a training's state


class Stored(NamedTuple):
  """An array in a file: known by shape and type, read when it is wanted."""
  shape: tuple[int, ...]
  type: str  # a key of TYPES
  read: Callable[[], np.ndarray]  # the values in the type of TYPES

  @property
  def nbytes(self) -> int:
    """Bytes as float32, or as stored where that is more."""
    return math.prod(self.shape) * max(4, np.dtype(TYPES[self.type]).itemsize)


def read_all(path: Path, stored: Mapping[str, Stored]) -> dict[str, np.ndarray]:
  """{name: array}; half precision becomes float32. Raises WeightsError where a file unfolds to far more than it is."""
  if not stored:
    raise WeightsError(f"{path} does not hold a tree of numeric arrays.")
  total, size = sum(a.nbytes for a in stored.values()), _size(path)
  if total > 20 * size + 2**24:
    raise WeightsError(f"{path} has {size:,} bytes and would unfold to {total:,}: this is no file of weights.")
  return {name: _wide(a.read(), a.type) for name, a in stored.items()}


def _size(path: Path) -> int:
  return sum(p.stat().st_size for p in path.rglob("*") if p.is_file()) if path.is_dir() else path.stat().st_size


def _wide(values: np.ndarray, kind: str) -> np.ndarray:
  if kind == "BF16":
    return (values.astype(np.uint32) << 16).view(np.float32)  # the upper half of a float32
  return values.astype(np.float32) if kind == "F16" else values.astype(values.dtype.newbyteorder("="), copy=False)


def type_name(dtype: np.dtype) -> str | None:
  """The key of TYPES, or None for what holds no numbers, such as texts and objects."""
  return next((name for name, code in TYPES.items() if name != "BF16" and np.dtype(code) == dtype.newbyteorder("=")),
              None)


def find(tree: Any) -> dict[str, Stored]:
  """The arrays of nested dicts under names joined by slashes; a training's state, numbers and texts are left out.

  Raises ValueError for a tree that is too deep or too large.
  """
  keys = itertools.count()

  def leaves(branch: Any, prefix: str, depth: int) -> Iterator[tuple[str, Stored]]:
    # Keys such as "Branch_0/Conv3d_0a_1x1" hold slashes of their own; joined names are the same either way.
    for key, leaf in branch.items():
      if next(keys) > MOST_KEYS or depth > DEEPEST:
        raise ValueError(f"over {MOST_KEYS:,} names, or nested over {DEEPEST} deep")
      leaf = getattr(leaf, "stored", leaf)
      if isinstance(leaf, Stored):
        yield f"{prefix}{key}", leaf
      elif isinstance(leaf, Mapping) and not (depth == 0 and TRAINING.fullmatch(str(key))):
        yield from leaves(leaf, f"{prefix}{key}/", depth + 1)
  return dict(leaves(tree, "", 0))
