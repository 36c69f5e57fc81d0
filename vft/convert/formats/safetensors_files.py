"""safetensors: a JSON header and flat bytes. The header is checked here in full; the library passes a repeated key."""
import itertools
import json
import math
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored

MOST_HEADER_BYTES = 10**8  # as the format's own limit


def read(path: Path, file: BinaryIO) -> tuple[dict[str, np.ndarray], dict[str, str]]:
  """{name: array} and the file's metadata. Raises ValueError where the header lies."""
  header, metadata, start = read_header(path, file)
  def stored(entry: Any) -> Stored:
    dtype = np.dtype(arrays.TYPES[entry["dtype"]]).newbyteorder("<")
    def values() -> np.ndarray:
      file.seek(start + entry["data_offsets"][0])
      raw = file.read(math.prod(entry["shape"]) * dtype.itemsize)
      return np.frombuffer(raw, dtype).reshape(entry["shape"])
    return Stored(tuple(entry["shape"]), entry["dtype"], values)
  return arrays.read_all(path, {name: stored(entry) for name, entry in header.items()}), metadata


def read_header(path: Path, file: BinaryIO) -> tuple[dict[str, Any], dict[str, str], int]:
  """What the file says of its arrays, its metadata, and where the arrays begin. Raises ValueError."""
  size = path.stat().st_size
  length = int.from_bytes(file.read(8), "little")
  if length > min(MOST_HEADER_BYTES, size - 8):
    raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
  header = json.loads(file.read(length).decode(), object_pairs_hook=_once)
  if not isinstance(header, dict):
    raise ValueError("a header that is no table")
  metadata = header.pop("__metadata__", {})
  if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
    raise ValueError("metadata that are not texts")
  spans = sorted((*_span(name, entry), name) for name, entry in header.items())
  ends = [0, *(end for _, end, _ in spans)]
  if [begin for begin, _, _ in spans] != ends[:-1] or ends[-1] != size - 8 - length:
    raise ValueError("arrays that overlap, leave a gap or end elsewhere than the file")
  return header, metadata, 8 + length


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  out = dict(pairs)
  if len(out) < len(pairs):
    names = sorted(name for name, _ in pairs)
    twice = next(a for a, b in itertools.pairwise(names) if a == b)
    raise ValueError(f"the key {twice!r} twice")
  return out


def _span(name: str, entry: Any) -> tuple[int, int]:
  """Where an array begins and ends. Raises ValueError where that is not what its shape and type need."""
  if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
    raise ValueError(f"{name!r} without dtype, shape and data_offsets alone")
  kind, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
  if kind not in arrays.TYPES:
    raise ValueError(f"{name!r} of the type {kind!r}; known: {', '.join(arrays.TYPES)}")
  numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [None]
  if len(numbers) != len(shape) + 2 or any(type(n) is not int or n < 0 for n in numbers) or len(shape) > 16:
    raise ValueError(f"{name!r} with the shape {shape} and the offsets {offsets}")
  begin, end = offsets
  if end - begin != math.prod(shape) * np.dtype(arrays.TYPES[kind]).itemsize:
    raise ValueError(f"{name!r} of the shape {shape} in {end - begin} bytes")
  return begin, end
