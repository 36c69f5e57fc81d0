"""Pickles of arrays, of numpy and of torch. A pickle is a program: of ours, only what builds dicts and arrays runs.

The Python unpickler of the standard library is used, not the one in C, because its parts can be taken out: a global is
looked up in GLOBALS alone, and what a file calls are the stand-ins below, never numpy, torch or a class of its own.
"""
import math
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Self

import numpy as np

from vft.convert.formats import arrays
from vft.convert.formats.arrays import Stored


class ContainsCode(Exception):
  """A global that a file of weights does not need."""


class Inert:
  """In the place of an object that holds no weights: takes whatever it is given and keeps none of it."""

  def __new__(cls, *args: Any, **kwargs: Any) -> Self:
    del args, kwargs
    return super().__new__(cls)

  def build(self, state: Any) -> None:
    del state

  def append(self, item: Any) -> None:
    del item

  extend = add = update = append

  def __setitem__(self, key: Any, value: Any) -> None:
    del key, value


class Type(Inert):
  """A numpy.dtype: of numbers, or of something that is no array of ours."""

  def __init__(self, code: str = "O", *rest: Any):
    del rest
    simple = isinstance(code, str) and code.lstrip("<>=|") in {c if c != "?" else "b1" for c in arrays.TYPES.values()}
    self.dtype = np.dtype(code) if simple else None

  def build(self, state: Any) -> None:
    if self.dtype is not None:
      self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")


class Array(Inert):
  """A numpy.ndarray, filled by `build`."""

  def __init__(self, *args: Any):
    del args
    self.stored: Stored | None = None

  def build(self, state: Any) -> None:
    _, shape, kind, by_columns, data = state
    self.stored = _stored(data, kind, shape, "F" if by_columns else "C")


def _stored(data: Any, kind: Type, shape: Any, order: Any) -> Stored | None:
  if kind.dtype is None or not isinstance(data, bytes | str):
    return None
  data, shape = data.encode("latin1") if isinstance(data, str) else data, tuple(map(int, shape))
  if len(data) != math.prod(shape) * kind.dtype.itemsize or min(shape, default=1) < 0:
    raise ValueError(f"an array of the shape {shape} in {len(data)} bytes")
  values = np.frombuffer(data, kind.dtype).reshape(shape, order=order)
  name = arrays.type_name(kind.dtype)
  return Stored(shape, name, lambda: values) if name else None


def _from_buffer(data: Any, kind: Type, shape: Any, order: str) -> Array:
  out = Array()
  out.stored = _stored(data, kind, shape, order)
  return out


def _encode(text: str, encoding: str) -> bytes:
  if encoding != "latin1":
    raise ValueError(f"text in {encoding}")
  return text.encode("latin1")


def _dict(*args: Any) -> dict[Any, Any]:
  return dict(args[-1]) if args and isinstance(args[-1], list | tuple | dict) else {}


GLOBALS: dict[str, Any] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _dict,
    "builtins.dict": _dict,
    "__builtin__.dict": _dict,
    "_codecs.encode": _encode,
    "numpy.ndarray": Array,
    "numpy.dtype": Type,
    **dict.fromkeys(("argparse.Namespace", "builtins.set", "__builtin__.set", "builtins.list",
                     "__builtin__.list", "copyreg._reconstructor", "copy_reg._reconstructor",
                     "builtins.object", "__builtin__.object", "torch.Size", "torch.device"), Inert),
}
for _core in ("numpy.core", "numpy._core"):  # numpy 1 and 2
  GLOBALS |= {f"{_core}.multiarray._reconstruct": Array, f"{_core}.multiarray.scalar": Inert,
              f"{_core}.numeric._frombuffer": _from_buffer}
_Python: Any = pickle._Unpickler
OPCODES = set(_Python.dispatch) - {x[0] for x in (
    pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.NEXT_BUFFER, pickle.READONLY_BUFFER)}


class Unpickler(_Python):
  """`extra`: more globals; `persistent`: what stands for an object that the file keeps elsewhere."""
  dispatch: ClassVar[dict[int, Any]] = {code: _Python.dispatch[code] for code in OPCODES}

  def __init__(self, file: BinaryIO, extra: dict[str, Any] | None = None,
               persistent: Callable[[Any], Any] | None = None):
    super().__init__(file, encoding="latin1")
    self.known = {**GLOBALS, **(extra or {})}
    if persistent:
      self.persistent_load = persistent

  def find_class(self, module_name: str, global_name: str, /) -> Any:
    """The stand-in for a global."""
    full = f"{module_name}.{global_name}"
    if full not in self.known:
      raise ContainsCode(full)
    return self.known[full]

  def load_build(self) -> None:
    """Only our stand-ins take a state: the library's own way could change attributes of functions and classes."""
    state = self.stack.pop()
    if isinstance(self.stack[-1], Inert):
      self.stack[-1].build(state)
    elif not isinstance(self.stack[-1], dict):  # torch keeps `_metadata` beside the items of an OrderedDict
      raise pickle.UnpicklingError("a state for something that has none")
  dispatch[pickle.BUILD[0]] = load_build

  def load_bytearray8(self) -> None:
    """As bytes: the library's own way would fill memory of the length that the file claims."""
    self.append(self.read(int.from_bytes(self.read(8), "little")))
  dispatch[pickle.BYTEARRAY8[0]] = load_bytearray8
