"""numpy's zip files of arrays: sizes are taken from the zip's directory and each array's header before any is read."""
import math
import zipfile
from pathlib import Path

import numpy as np

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored
from vft.convert.formats.pickles import ContainsCode


def read(path: Path, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
  """{name: array}. Raises ContainsCode for an array of objects, ValueError for a header that lies, WeightsError."""
  found = {}
  for info in archive.infolist():
    if not info.filename.endswith(".npy"):
      continue
    with archive.open(info) as file:
      version = np.lib.format.read_magic(file)
      read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
      shape, _, dtype = read_header(file)
      size = info.file_size - file.tell()
    if dtype.hasobject:
      raise ContainsCode(f"{info.filename}, a pickle of objects")
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size:
      raise ValueError(f"{info.filename} of the shape {shape} in {size} bytes")
    kind = arrays.type_name(dtype)
    if kind:
      found[info.filename.removesuffix(".npy")] = Stored(shape, kind, lambda info=info: _values(archive, info))
  return arrays.read_all(path, found)


def _values(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
  with archive.open(info) as file:
    return np.lib.format.read_array(file, allow_pickle=False)
