"""Files of weights -> {name: numpy array}. The kind of a file is found by its first bytes; no code in it ever runs."""
import dataclasses
import json
import zipfile
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vft.convert.formats import arrays, npz_files, pickles, safetensors_files, torch_files
from vft.errors import WeightsError

OWN = "vft"  # the key of a safetensors file's metadata that marks ours; its value is JSON
MSGPACK = [bytes([byte]) for byte in (*range(0x81, 0x90), 0xde, 0xdf)]  # a map; an empty one would begin as pickles do


@dataclasses.dataclass(frozen=True)
class File:
  """Arrays under the names of the file; `own` ones, of `vft weights convert`, are under our names."""
  arrays: dict[str, np.ndarray]
  own: bool = False
  kind: str = ""  # safetensors | torch | hdf5 | npz | orbax | msgpack | pickle
  family: str = ""
  variant: str = ""
  labels: tuple[str, ...] = ()
  mean: tuple[float, ...] = ()
  std: tuple[float, ...] = ()
  about: dict[str, Any] = dataclasses.field(default_factory=dict)  # what else an own file says of itself


def read(path: str | Path) -> File:
  """Any file of weights that can be read. Raises WeightsError."""
  path = Path(path)
  try:
    return _read(path)
  except WeightsError:
    raise
  except pickles.ContainsCode as error:
    raise WeightsError(
        f"{path} contains code ({error}); it was not run. Weights hold arrays only: if you trust where the file comes "
        "from,\nopen it with its own program in a sandbox (a container without network and without your files), save "
        "the arrays\nwith safetensors.torch.save_file(state_dict, 'weights.safetensors'), and give that file "
        "instead.") from None
  except OSError as error:
    if error.errno:
      raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
    raise _damaged(path, error) from None
  except Exception as error:  # a damaged file can raise nearly anything
    raise _damaged(path, error) from None


def describe(path: str | Path) -> File:
  """What a file says of itself, without its arrays; nothing unless it is one of ours. Raises WeightsError."""
  path = Path(path)
  if path.is_dir():
    return File({})
  try:
    with path.open("rb") as file:
      if file.read(9)[8:] != b"{":
        return File({})
      file.seek(0)
      return _own({}, safetensors_files.read_header(path, file)[1])
  except OSError as error:
    raise WeightsError(f"{path} cannot be read: {error.strerror}.") from None
  except (ValueError, RecursionError, KeyError, TypeError) as error:
    raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> WeightsError:
  said = f"{type(error).__name__}: {error}".replace("\n", " ")[:300]
  return WeightsError(f"{path} is cut short or damaged, or not a file of weights ({said}). Copy or download it again.")


def _read(path: Path) -> File:
  if path.is_dir():
    from vft.convert.formats import orbax_folders  # slow to import, and rarely needed
    return File(orbax_folders.read(path), kind="orbax")
  with path.open("rb") as file:
    start = file.read(512)
    file.seek(0)
    _refuse_others(path, start)
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
      from vft.convert.formats import hdf5_files
      return File(hdf5_files.read(path), kind="hdf5")
    if start.startswith(b"PK\x03\x04"):
      return _read_zip(path, file)
    if start[8:9] == b"{" or path.suffix == ".safetensors":
      found, metadata = safetensors_files.read(path, file)
      return _own(found, metadata)
    if start[:1] in MSGPACK:
      from vft.convert.formats import msgpack_files
      return File(msgpack_files.read(path), kind="msgpack")
    tree = pickles.Unpickler(file).load()
    if tree == torch_files.MAGIC:
      return File(torch_files.read_old(path, file), kind="torch")
    return File(arrays.read_all(path, torch_files.find(path, tree)), kind="pickle")


def _read_zip(path: Path, file: BinaryIO) -> File:
  with zipfile.ZipFile(file) as archive:
    names = archive.namelist()
    if any(name.endswith("data.pkl") for name in names):
      return File(torch_files.read_zip(path, archive), kind="torch")
    if any(name.endswith(".npy") for name in names):
      return File(npz_files.read(path, archive), kind="npz")
  raise WeightsError(f"{path} is a zip file without arrays of torch or numpy; it holds {names[:5]}. Unpack it and give "
                     "the file of weights inside.")


def _refuse_others(path: Path, start: bytes) -> None:
  """Raises WeightsError for what is often found under the name of weights."""
  text = start.lstrip()[:40].lower()
  if text.startswith((b"<!doctype", b"<html", b"<?xml")):
    raise WeightsError(f"{path} is a web page, not weights: the download went wrong. Fetch it again.")
  if text.startswith(b"version https://git-lfs"):
    raise WeightsError(f"{path} is a pointer of Git LFS, not the weights. Fetch them: git lfs pull")
  if start.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")) or start[257:262] == b"ustar":
    raise WeightsError(f"{path} is a packed archive. Unpack it and give the file of weights inside.")


def _own(found: dict[str, np.ndarray], metadata: dict[str, str]) -> File:
  """A file of safetensors; ours say in their metadata what they are."""
  if OWN not in metadata:
    return File(found, kind="safetensors")
  about = json.loads(metadata[OWN])
  known = {"family", "variant", "labels", "mean", "std"}
  fields: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in about.items() if name in known}
  return File(found, own=True, kind="safetensors", about={k: v for k, v in about.items() if k not in known}, **fields)
