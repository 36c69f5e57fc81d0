"""tfds:NAME, NAME/CONFIG or a folder: a TFDS data set in array_record files that holds the bytes of videos.

NAME is a builder in vft/data/builders, or else a data set already built in data.tfds_dir; a folder is that of a built
version, with dataset_info.json. No TensorFlow is needed. Its splits are official, unless there is only one.
"""
from __future__ import annotations

import dataclasses
import functools
import importlib
import math
import pkgutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources import COLUMNS, SPLIT_NAMES
from vft.errors import ConfigError, DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd

# Features by their role, the usual names first; config.data.options names another.
USUAL = {"video": ("video",), "group": ("patient", "patient_id", "group", "subject"), "id": ("id", "video_id")}


def open_tfds(name: str, data_dir: str, columns: tuple[str, ...] = ("label",),
              options: tuple[tuple[str, Any], ...] = ()) -> TfdsSource:
  """Lets vft.data.builders.NAME load, or first build, the data set; else opens one that is built.

  columns: of the tasks. options: video, group and id name features; "" = none of the usual names either.
  Raises ConfigError if there is no such data set, and DataError if its features hold no video.
  """
  for option, _ in options:
    if option not in USUAL:
      raise ConfigError(f"config.data.options.{option} is nothing that tfds: knows{did_you_mean(option, USUAL)}\n"
                        f"Known: {', '.join(USUAL)}.")
  builder, simulated = _open_builder(name, data_dir)
  info = builder.info
  if info.file_format is None or info.file_format.value != "array_record":
    found = info.file_format.value if info.file_format else "unknown"
    raise DataError(f"{builder.data_path} is in {found} files; expected array_record.\nWhere TensorFlow is installed, "
                    f"type: tfds convert_format --dataset_version_dir={builder.data_path} "
                    "--out_file_format=array_record --out_dir=FOLDER")
  features = dict(info.features.items())
  roles = _roles(features, dict(options), str(builder.data_path))
  classes = tuple(getattr(features.get(columns[0]), "names", ())) if len(columns) == 1 else ()
  return TfdsSource(str(builder.data_path), info.full_name, classes, simulated, tuple(roles.items()))


def _open_builder(name: str, data_dir: str) -> tuple[Any, bool]:
  """(builder, whether its videos are simulated)."""
  if Path(name).is_absolute():
    return _built(name)
  from vft.data import builders
  module_name, _, builder_config = name.partition("/")
  try:
    module = importlib.import_module(f"vft.data.builders.{module_name}")
    load_builder = module.load_builder
  except (ModuleNotFoundError, AttributeError) as e:
    if isinstance(e, ModuleNotFoundError) and not str(e.name).startswith("vft.data.builders"):
      raise
    folder = _newest(name, data_dir)
    if folder:
      return _built(folder)
    known = [m.name for m in pkgutil.iter_modules(builders.__path__)]
    raise ConfigError(f"config.data.source names the TFDS data set {name!r}, which is not built in "
                      f"{data_dir or '~/tensorflow_datasets'}, and vft/data/builders has none of that name"
                      f"{did_you_mean(module_name, known)}\nExpected a name, as in --config.data.source="
                      "tfds:echo_phantom, or the folder of a built version, with dataset_info.json.") from None
  builder = load_builder(data_dir, builder_config) if builder_config else load_builder(data_dir)
  return builder, bool(getattr(module, "SIMULATED", _says_simulated(builder)))


def _says_simulated(builder: Any) -> bool:
  return "simulated" in (builder.info.description or "").lower()


def _newest(name: str, data_dir: str) -> str:
  """The folder of the newest version of NAME, NAME/CONFIG or NAME/CONFIG/VERSION below `data_dir`; "" = none."""
  top = Path(data_dir or "~/tensorflow_datasets").expanduser() / name
  found = sorted(top.rglob("dataset_info.json"), key=lambda f: [int(n) if n.isdecimal() else -1
                                                                for n in f.parent.name.split(".")])
  folders = {file.parent.parent for file in found if file.parent != top}
  if len(folders) > 1:
    raise ConfigError(f"{top} has several configs.\nExpected one of them, such as "
                      f"--config.data.source=tfds:{name}/{sorted(f.name for f in folders)[0]}.")
  return str(found[-1].parent) if found else ""


def _built(folder: str) -> tuple[Any, bool]:
  from tensorflow_datasets.core.dataset_info import DatasetInfoFileError
  try:
    return _builder(folder), _says_simulated(_builder(folder))
  except (OSError, ValueError, DatasetInfoFileError) as e:
    raise DataError(f"{folder} is no built TFDS data set ({str(e).splitlines()[0]}).\nExpected the folder of a version,"
                    " with dataset_info.json and features.json.") from None


def _roles(features: dict[str, Any], options: dict[str, str], where: str) -> dict[str, str]:
  """{"video": feature, "group": feature or "", "id": feature or ""}."""
  def listed() -> str:
    return "".join(f"\n  {name}: {feature}" for name, feature in features.items())

  roles = {}
  for role, usual in USUAL.items():
    chosen = options.get(role)
    if chosen and chosen not in features:
      raise ConfigError(f"config.data.options.{role} is {chosen!r}, which {where} has not"
                        f"{did_you_mean(chosen, list(features))}\nFound{listed()}")
    roles[role] = next((n for n in usual if n in features), "") if chosen is None else chosen
  if not roles["video"]:
    objects = [n for n, f in features.items() if _scalar(f) and _kind(f) == "O" and not _is_text(f)]
    roles["video"] = objects[0] if len(objects) == 1 else ""
  video = features.get(roles["video"])
  if video is None or not _scalar(video) or _kind(video) != "O" or hasattr(video, "names"):
    raise DataError(f"{where}: it is not clear which feature holds the bytes of a video, a Tensor of shape () and type "
                    f"string.\nFound{listed()}\nType --config.data.options.video=NAME; if none does (features.Video "
                    "needs TensorFlow), build the data set again with the bytes of the files.")
  return roles


def _scalar(feature: Any) -> bool:
  return getattr(feature, "shape", None) == () and hasattr(feature, "np_dtype")


def _kind(feature: Any) -> str:
  """Of its numpy type: "O" for bytes and text."""
  import numpy as np
  return np.dtype(feature.np_dtype).kind


def _is_text(feature: Any) -> bool:
  import tensorflow_datasets as tfds
  return isinstance(feature, tfds.features.Text)


@dataclasses.dataclass(frozen=True)
class TfdsSource:
  """A path is full_name/split/number, such as "echo_phantom/full/1.0.0/train/12".

  roles: items of the names of features, see USUAL. Every other feature that is one text, number or class is a column.
  """
  folder: str
  full_name: str
  classes: tuple[str, ...]
  simulated: bool
  roles: tuple[tuple[str, str], ...] = (("video", "video"), ("group", "patient"), ("id", "id"))

  CHECKED: ClassVar[str] = "tensorflow-datasets"

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a split of another name, or a class number without a name; -1 is a cell left empty."""
    import pandas as pd
    info, roles = _builder(self.folder).info, dict(self.roles)
    unknown = [s for s in info.splits if s.lower() not in SPLIT_NAMES]
    if unknown and len(info.splits) > 1:
      raise DataError(f"{self.folder} has the splits {list(info.splits)}; expected train, validation and test.")
    columns = {name: feature for name, feature in info.features.items()
               if _scalar(feature) and name not in roles.values() and name not in (*COLUMNS, "where")}
    rows = []
    for split in info.splits:
      official = SPLIT_NAMES[split.lower()] if len(info.splits) > 1 else ""
      for i, record in enumerate(_open(self.folder, split)):
        path = f"{self.full_name}/{split}/{i}"
        cells = {name: _cell(record[name], feature, f"{path}, {name}") for name, feature in columns.items()}
        rows.append({"id": _text(record[roles["id"]]) if roles["id"] else path, "video": path, "path": path,
                     "group": _text(record[roles["group"]]) if roles["group"] else "", "split": official,
                     "start_s": 0.0, "end_s": math.nan, **cells})
    return pd.DataFrame(rows, columns=[*COLUMNS, *columns])

  def read(self, path: str) -> bytes:
    """The bytes of the file. A worker process opens the data set at its first call."""
    full_name, split, number = path.rsplit("/", 2)
    if full_name != self.full_name:
      raise DataError(f"{path} is from another version; found {self.full_name}")
    return bytes(_open(self.folder, split)[int(number)][dict(self.roles)["video"]])


def _cell(value: Any, feature: Any, where: str) -> str:
  """A value of a record as a cell of the manifest."""
  import numpy as np
  names = getattr(feature, "names", None)
  if not names:
    return str(np.dtype(feature.np_dtype).type(value)) if _kind(feature) == "f" else _text(value)  # 0.3, not 0.30000001
  if not -1 <= int(value) < len(names):
    raise DataError(f"{where}: class number {value}; expected 0 to {len(names) - 1}, or -1 where it is not known.\n"
                    "Build the data set again.")
  return names[int(value)] if int(value) >= 0 else ""


@functools.cache
def _builder(folder: str) -> Any:
  import tensorflow_datasets as tfds
  return tfds.builder_from_directory(folder)


@functools.cache
def _open(folder: str, split: str) -> Any:
  return _builder(folder).as_data_source(split)


def _text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
