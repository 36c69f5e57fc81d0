"""HDF5, as Keras saves weights. Nothing outside the file is followed: no links, no virtual or external data."""
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored
from vft.errors import WeightsError


def read(path: Path) -> dict[str, np.ndarray]:
  """{"block1_conv1/block1_conv1_W_1:0": array}: groups joined by slashes, without Keras's outer "model_weights".

  Raises WeightsError, or whatever h5py raises for a damaged file.
  """
  with h5py.File(path, "r") as file:
    tree = _tree(path, file, set())
    return arrays.read_all(path, arrays.find(tree.get("model_weights", tree)))


def _tree(path: Path, group: Any, seen: set[Any]) -> dict[str, Any]:
  """Nested dicts of Stored. Raises WeightsError for what leads out of the file."""
  if hash(group.id) in seen or len(seen) > arrays.MOST_KEYS:
    raise ValueError("groups that hold each other")
  seen.add(hash(group.id))
  out: dict[str, Any] = {}
  for name in group:
    link = group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
      raise WeightsError(f"{path}: {name!r} is a link ({type(link).__name__} to {_target(link)}), which is not "
                         "followed. Save the arrays themselves in one file.")
    item = group[name]
    if isinstance(item, h5py.Group):
      out[name] = _tree(path, item, seen)
    elif isinstance(item, h5py.Dataset):
      if item.is_virtual or item.external:
        raise WeightsError(f"{path}: the values of {name!r} are in another file, which is not followed. "
                           "Save the arrays themselves in one file.")
      kind = arrays.type_name(item.dtype)
      if kind and item.shape is not None:
        out[name] = Stored(item.shape, kind, lambda item=item: np.asarray(item[()]))
  return out


def _target(link: Any) -> str:
  return f"{getattr(link, 'filename', '')}:{link.path}".lstrip(":")
