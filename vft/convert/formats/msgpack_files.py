"""Flax's own files (`checkpoint`, `checkpoint_100`, `flax_model.msgpack`): a tree of arrays in msgpack, and no code.

Loaded only when such a file is given.
"""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import serialization

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored


def read(path: Path) -> dict[str, np.ndarray]:
  """{"params/a/kernel": array}; of an optimizer of old flax, which held the model, its `target` alone."""
  tree: Any = serialization.msgpack_restore(path.read_bytes())
  old = tree.get("optimizer")
  tree = old["target"] if isinstance(old, Mapping) and "target" in old else tree
  return arrays.read_all(path, arrays.find(_each(tree)))


def _each(tree: Mapping[str, Any]) -> dict[str, Any]:
  """The dicts with Stored in the place of arrays."""
  return {key: _each(leaf) if isinstance(leaf, Mapping) else _stored(leaf) for key, leaf in tree.items()}


def _stored(leaf: Any) -> Any:
  if not isinstance(leaf, np.ndarray):
    return leaf
  if leaf.dtype.name == "bfloat16":
    return Stored(leaf.shape, "BF16", lambda: leaf.view(np.uint16))
  kind = arrays.type_name(leaf.dtype)
  return Stored(leaf.shape, kind, lambda: leaf) if kind else None
