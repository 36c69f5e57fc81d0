"""tfds:NAME or tfds:NAME/CONFIG, a TFDS data set in array_record files made by a builder in vft/data/builders.

Features: id and patient (Text), video (the bytes of a file), label (ClassLabel). Its splits are official.
"""
from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import pkgutil
from typing import TYPE_CHECKING, Any

from vft.data.sources import COLUMNS, SPLIT_NAMES
from vft.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd


def open_tfds(name: str, data_dir: str) -> TfdsSource:
  """Lets vft.data.builders.NAME load, or first build, the data set. Raises ConfigError if there is no such builder."""
  from vft.data import builders
  module_name, _, builder_config = name.partition("/")
  try:
    module = importlib.import_module(f"vft.data.builders.{module_name}")
    load_builder = module.load_builder
  except (ModuleNotFoundError, AttributeError) as e:
    if isinstance(e, ModuleNotFoundError) and not str(e.name).startswith("vft.data.builders"):
      raise
    known = [m.name for m in pkgutil.iter_modules(builders.__path__)]
    raise ConfigError(f"config.data.source names the TFDS data set {module_name!r}, but vft/data/builders has none of "
                      f"that name{did_you_mean(module_name, known)}\nExpected a module with load_builder(data_dir, "
                      "config), as in --config.data.source=tfds:echo_phantom.") from None
  builder = load_builder(data_dir, builder_config) if builder_config else load_builder(data_dir)
  simulated = getattr(module, "SIMULATED", "simulated" in (builder.info.description or "").lower())
  return TfdsSource(str(builder.data_path), builder.info.full_name, tuple(builder.info.features["label"].names),
                    bool(simulated))


@dataclasses.dataclass(frozen=True)
class TfdsSource:
  """A path is full_name/split/number, such as "echo_phantom/full/1.0.0/train/12"."""
  folder: str
  full_name: str
  classes: tuple[str, ...]
  simulated: bool

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a record without a label (-1)."""
    import pandas as pd
    rows = []
    for split in _builder(self.folder).info.splits:
      for i, record in enumerate(_open(self.folder, split)):
        path, label = f"{self.full_name}/{split}/{i}", int(record["label"])
        if not 0 <= label < len(self.classes):
          raise DataError(f"{path}: label {label}; expected 0 to {len(self.classes) - 1}.\nBuild the data set again.")
        rows.append((_text(record["id"]), path, path, _text(record["patient"]), SPLIT_NAMES.get(split, split), 0.0,
                     math.nan, self.classes[label]))
    return pd.DataFrame(rows, columns=[*COLUMNS, "label"])

  def read(self, path: str) -> bytes:
    """The bytes of the file. A worker process opens the data set at its first call."""
    full_name, split, number = path.rsplit("/", 2)
    if full_name != self.full_name:
      raise DataError(f"{path} is from another version; found {self.full_name}")
    return bytes(_open(self.folder, split)[int(number)]["video"])


@functools.cache
def _builder(folder: str) -> Any:
  import tensorflow_datasets as tfds
  return tfds.builder_from_directory(folder)


@functools.cache
def _open(folder: str, split: str) -> Any:
  return _builder(folder).as_data_source(split)


def _text(value: bytes | str) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
