"""Checkpoints of torch, without torch: the zip files of torch >= 1.6 and the older ones, a row of pickles and arrays.

What is known of the two layouts comes from torch/serialization.py (torch 2.14). Only the arrays that are wanted are
read; a tensor is (type, shape, strides) over the bytes of a storage.
"""
import io
import math
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from vft.convert.formats import arrays, pickles
from vft.convert.formats.arrays import Stored
from vft.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C  # the first pickle of an old file
MOST_PICKLE_BYTES = 2**25  # of data.pkl, which holds names and shapes only
STORAGES = {"Double": "F64", "Float": "F32", "Half": "F16", "BFloat16": "BF16", "Long": "I64", "Int": "I32",
            "Short": "I16", "Char": "I8", "Byte": "U8", "Bool": "BOOL"}


class Storage(NamedTuple):
  """A flat array of the file. `read(start, stop)` gives bytes of it."""
  type: str
  values: int
  read: Callable[[int, int], bytes]


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *rest: Any) -> pickles.Array:
  """torch._utils._rebuild_tensor_v2. Raises ValueError where the tensor reaches out of its storage or repeats it."""
  del rest
  shape, strides = tuple(map(int, shape)), tuple(map(int, strides))
  count, last = math.prod(shape), offset + sum((d - 1) * s for d, s in zip(shape, strides, strict=True))
  if len(shape) > 16 or min((offset, *shape, *strides)) < 0 or count > storage.values or (
      count and last >= storage.values):
    raise ValueError(f"a tensor of the shape {shape}, strides {strides}, from {offset} of {storage.values} values")
  def read() -> np.ndarray:
    dtype = np.dtype(arrays.TYPES[storage.type]).newbyteorder("<")
    if not count:
      return np.zeros(shape, dtype)
    raw = storage.read(offset * dtype.itemsize, (last + 1) * dtype.itemsize)
    flat = np.frombuffer(raw, dtype, last + 1 - offset)
    steps = [s * dtype.itemsize for s in strides]
    return np.ascontiguousarray(np.lib.stride_tricks.as_strided(flat, shape, steps)).reshape(shape)
  out = pickles.Array()
  out.stored = Stored(shape, storage.type, read)
  return out


def _first(value: Any, *rest: Any) -> Any:
  """A parameter is its tensor; _rebuild_parameter and the like."""
  del rest
  return value


def _typed(make: Callable[..., Any], kind: Any, args: Any, state: Any) -> Any:
  del kind, state
  return make(*args)


GLOBALS: dict[str, Any] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._tensor._rebuild_from_type_v2": _typed,
    "torch.nn.parameter.Parameter": pickles.Inert,
    "torch.nn.parameter.Buffer": pickles.Inert,
    **{f"torch.{name}Storage": kind for name, kind in STORAGES.items()},
    **{f"torch.{name}": pickles.Inert() for name in ("float32", "float16", "bfloat16", "float64", "int64")},
}


def read_zip(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
  """The zip layout: NAME/data.pkl and NAME/data/0, 1, ..., each stored as it is. Raises WeightsError."""
  names = {info.filename: info for info in archive.infolist()}
  main = next(name for name in names if name.endswith("data.pkl"))
  root = main.removesuffix("data.pkl")
  if f"{root}constants.pkl" in names or any(name.startswith(f"{root}code/") for name in names):
    raise pickles.ContainsCode("TorchScript, a program in the folder 'code'")
  if f"{root}byteorder" in names and archive.read(f"{root}byteorder").strip() != b"little":
    raise WeightsError(f"{path} was written on a big-endian machine; save it again on another one.")
  if names[main].file_size > MOST_PICKLE_BYTES:
    raise ValueError(f"{main} of {names[main].file_size:,} bytes")

  def storage(identity: Any) -> Storage:
    kind, key, count = _identity(identity)
    info = names[f"{root}data/{key}"]
    if info.compress_type != zipfile.ZIP_STORED or info.file_size < count * np.dtype(arrays.TYPES[kind]).itemsize:
      raise ValueError(f"{info.filename} is compressed, or shorter than {count} values")
    def read(start: int, stop: int) -> bytes:
      with archive.open(info) as file:
        file.seek(start)
        return _exactly(file, stop - start)
    return Storage(kind, count, read)
  tree = pickles.Unpickler(io.BytesIO(archive.read(main)), GLOBALS, storage).load()
  return arrays.read_all(path, find(path, tree))


def read_old(path: Path, file: BinaryIO) -> dict[str, np.ndarray]:
  """The layout before torch 1.6, behind its magic number: version, system, tree, keys, then each storage."""
  if pickles.Unpickler(file).load() != 1001:
    raise ValueError("an unknown version")
  if not pickles.Unpickler(file).load().get("little_endian"):
    raise WeightsError(f"{path} was written on a big-endian machine; save it again on another one.")
  starts: dict[str, tuple[int, int]] = {}  # key -> where its values are, how many there are

  def storage(identity: Any) -> Storage:
    kind, key, count = _identity(identity)
    size, view = np.dtype(arrays.TYPES[kind]).itemsize, identity[5] if len(identity) > 5 else None
    first, count = (int(view[1]), int(view[2])) if view else (0, count)
    def read(start: int, stop: int) -> bytes:
      begin, values = starts[key]
      if first < 0 or first * size + stop > values * size:
        raise ValueError(f"storage {key} has {values} values only")
      file.seek(begin + first * size + start)
      return _exactly(file, stop - start)
    kinds[key] = size
    return Storage(kind, count, read)
  kinds: dict[str, int] = {}
  tree = pickles.Unpickler(file, GLOBALS, storage).load()
  for key in pickles.Unpickler(file).load():
    values = int.from_bytes(_exactly(file, 8), "little")
    starts[str(key)] = file.tell(), values
    file.seek(values * kinds[str(key)], io.SEEK_CUR)
  return arrays.read_all(path, find(path, tree))


def find(path: Path, tree: Any) -> dict[str, Stored]:
  """The arrays of what was pickled."""
  if not isinstance(tree, dict):
    raise WeightsError(f"{path} holds a {type(tree).__name__}, not a tree of arrays.")
  return arrays.find(tree)


def _identity(identity: Any) -> tuple[str, str, int]:
  """("storage", type, key, device, count, ...) -> type, key, count."""
  if not isinstance(identity, tuple) or len(identity) < 5 or identity[0] != "storage":
    raise pickle.UnpicklingError(f"an object kept elsewhere: {str(identity)[:80]}")
  _, kind, key, _, count = identity[:5]
  if kind not in arrays.TYPES or int(count) < 0:
    raise pickle.UnpicklingError(f"a storage of {kind} and {count}")
  return kind, str(key), int(count)


def _exactly(file: Any, size: int) -> bytes:
  data = file.read(size)
  if len(data) < size:
    raise EOFError(f"{size - len(data)} bytes are missing")
  return data
