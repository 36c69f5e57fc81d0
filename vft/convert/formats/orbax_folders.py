"""Folders that orbax wrote, as of other JAX projects -> arrays. Loaded only when such a folder is given."""
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import orbax.checkpoint as ocp

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored
from vft.errors import WeightsError

MARKS = ("_METADATA", "manifest.ocdbt")  # in the folder of a tree of arrays


def read(folder: Path) -> dict[str, np.ndarray]:
  """{"params/a/kernel": array} of the folder, or of the one item with arrays in it. Raises WeightsError."""
  folder = folder.resolve()
  found: list[Any] = [f for f in (folder, *sorted(p for p in folder.iterdir() if p.is_dir()))
           if any((f / mark).exists() for mark in MARKS)]
  if not found:
    raise WeightsError(f"{folder} is a folder without a checkpoint of orbax: none of {', '.join(MARKS)} is in it. "
                       "Give the file of weights, or the folder of one step.")
  handler = ocp.PyTreeCheckpointHandler()
  described: Any = handler.metadata(found[0])
  tree = _arrays_of(described.tree)

  @functools.cache
  def restored() -> Any:
    how = _each(tree, lambda *_: ocp.RestoreArgs(restore_type=np.ndarray))
    return handler.restore(found[0], args=ocp.args.PyTreeRestore(item=_each(tree, lambda *_: 0), restore_args=how,
                                                                 partial_restore=True))

  def stored(leaf: Any, keys: tuple[str, ...]) -> Stored:
    kind = "BF16" if str(leaf.dtype) == "bfloat16" else arrays.type_name(np.dtype(leaf.dtype))
    if kind is None:
      raise WeightsError(f"{folder}: {'/'.join(keys)} is of the type {leaf.dtype}, which is not read.")
    def values() -> np.ndarray:
      array = np.asarray(functools.reduce(lambda branch, key: branch[key], keys, restored()))
      return array.view(np.uint16) if kind == "BF16" else array
    return Stored(tuple(leaf.shape), kind, values)
  return arrays.read_all(found[0], arrays.find(_each(tree, stored)))


def _arrays_of(tree: Any, depth: int = 0) -> dict[str, Any]:
  """Dicts of what orbax says of arrays, without numbers, lists and a training's state."""
  out = {}
  for key, leaf in tree.items():
    if isinstance(leaf, Mapping) and not (depth == 0 and arrays.TRAINING.fullmatch(str(key))):
      out[key] = _arrays_of(leaf, depth + 1)
    elif type(leaf).__name__ == "ArrayMetadata":
      out[key] = leaf
  return {key: leaf for key, leaf in out.items() if leaf != {}}


def _each(tree: Any, change: Any, keys: tuple[str, ...] = ()) -> Any:
  """The dicts with change(leaf, keys) in the place of each leaf."""
  if isinstance(tree, dict):
    return {key: _each(leaf, change, (*keys, key)) for key, leaf in tree.items()}
  return change(tree, keys)
