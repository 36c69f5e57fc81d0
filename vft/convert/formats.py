"""Files of weights -> {name: numpy array}. A pickle is a program: ours runs nothing but numpy's array constructors."""
import dataclasses
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from vft.errors import WeightsError

_reconstruct = np.ndarray.__reduce__(np.zeros(0))[0]  # numpy's own, wherever this version keeps it
ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


@dataclasses.dataclass(frozen=True)
class File:
  """Arrays under the names of the file; `own` ones, of `vft weights convert`, are under our names."""
  arrays: dict[str, np.ndarray]
  own: bool = False
  family: str = ""
  labels: tuple[str, ...] = ()


def read(path: str | Path) -> File:
  """Any file of weights that can be read. Raises WeightsError."""
  if Path(path).suffix == ".safetensors":
    return File(load_file(path))
  return File(read_pickle(path))


class _ArraysOnly(pickle.Unpickler):
  def find_class(self, module_name: str, global_name: str, /) -> Any:
    try:
      return ALLOWED[module_name, global_name]
    except KeyError:
      raise WeightsError(f"contains code ({module_name}.{global_name}); it was not run. "
                         "Weights hold numpy arrays only: do not trust this file.") from None


def read_pickle(path: str | Path) -> dict[str, np.ndarray]:
  """A pickled tree of numpy arrays -> {"params/a/b": array}. Raises WeightsError; no code of the file ever runs."""
  try:
    with open(path, "rb") as file:
      tree = _ArraysOnly(file).load()
  except WeightsError as error:
    raise WeightsError(f"{path} {error}") from None
  except OSError as error:
    raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
  except Exception as error:  # a damaged pickle can raise nearly anything
    raise WeightsError(f"{path} is cut short or damaged, or not a pickle ({type(error).__name__}: {error}). "
                       "Copy or download it again.") from None
  if not isinstance(tree, Mapping):
    raise WeightsError(f"{path} holds a {type(tree).__name__}, not a tree of arrays.")
  flat = dict(_leaves(tree))
  bad = [name for name, leaf in flat.items() if not isinstance(leaf, np.ndarray) or leaf.dtype.kind not in "fiu"]
  if bad or not flat:
    raise WeightsError(f"{path} is not a tree of numeric arrays; not one: {bad[:10] or 'the empty tree'}.")
  return flat


def _leaves(tree: Mapping, prefix: str = ""):
  # Keys such as "Branch_0/Conv3d_0a_1x1" hold slashes of their own; joined names are the same either way.
  for key, leaf in tree.items():
    if isinstance(leaf, Mapping):
      yield from _leaves(leaf, f"{prefix}{key}/")
    else:
      yield f"{prefix}{key}", leaf
