"""The folder of a run where many processes make it: the first one's; the others have one that goes when they end."""
import contextlib
import importlib.metadata
import json
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft import config as configs
from vft import distributed
from vft import workdir as workdirs
from vft.data.manifest import Manifest
from vft.errors import ConfigError, DataError

SHARED = ("manifest.csv", ".reading/refused.json")


def check(config: ConfigDict) -> None:
  """Raises ConfigError for what is not done by many processes, RunError where config or versions differ."""
  if distributed.count() == 1:
    return
  if config.data.folds:
    raise ConfigError("config.data.folds is for one process: start each fold by itself, such as one job for each, or "
                      "run it on one machine.")
  distributed.agree(config=configs.to_json(config).replace("\n", " "), versions=_versions())


def _versions() -> str:
  return " ".join(f"{name} {importlib.metadata.version(name)}" for name in ("vft", "jax", "jaxlib", "flax", "optax"))


@contextlib.contextmanager
def folder_of(folder: Path) -> Iterator[Path]:
  """Where this process writes. Each has metrics, tables and so on of its own; only those of the first one are kept."""
  if distributed.first():
    yield folder
    return
  with tempfile.TemporaryDirectory(prefix="vft-process-") as own:
    yield Path(own)


def finished(folder: Path) -> dict[str, Any] | None:
  """What result.json of the first process holds, or None where the run is not finished."""
  def read() -> Any:
    path = folder / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None
  return distributed.by_first(read)


def make_manifest(config: ConfigDict, folder: Path) -> Manifest:
  """`workdir.load_manifest`. At the first start every process reads its own copy of the data, and all must be alike.

  Later ones take the first one's manifest. One after the other at the first start: hosts may share a disk.
  """
  if distributed.count() == 1:
    return workdirs.load_manifest(config, folder)
  old = distributed.by_first(lambda: (folder / "manifest.csv").is_file())
  if old:
    _take(folder)
  made: list[Manifest] = []

  def make() -> None:
    made.append(workdirs.load_manifest(config, folder))
  distributed.by_first(make)
  said = ""
  if not made:
    said = _fault(make)
  said = " | ".join(sorted({text for text in distributed.gather(said) if text}))
  if said:
    raise DataError(f"A process could not read the data:\n{said}")
  digests = made[0].table.sort_values("row")
  each = " ".join(f"{p}:{s[:12]}" for p, s in zip(digests.path, digests.sha256, strict=True))
  distributed.agree(**{"manifest (videos, labels, splits)": made[0].sha256 + _first_change(each)})
  return made[0]


def _fault(make: Callable[[], None]) -> str:
  try:
    make()
  except DataError as e:
    return str(e)
  return ""


def _first_change(each: str) -> str:
  """" at PATH" of the first video that is not alike in all processes."""
  parts = [text.split(" ") for text in distributed.gather(each)]
  for same in zip(*parts, strict=False):
    if len(set(same)) > 1:
      return f" at {same[0].rpartition(':')[0]}"
  return ""


def _take(folder: Path) -> None:
  """Writes the first process's files into the folders of the others."""
  def read() -> dict[str, str]:
    return {name: (folder / name).read_text() for name in SHARED if (folder / name).is_file()}
  for name, text in distributed.by_first(read).items():
    path = folder / name
    if not distributed.first():
      path.parent.mkdir(parents=True, exist_ok=True)
      path.write_text(text)


def together(failed: set[int]) -> None:
  """Adds the rows that other processes could not decode."""
  failed.update(*distributed.gather(sorted(failed)))

