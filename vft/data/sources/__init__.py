"""Where labelled videos come from: one file per on-disk layout.

A source is small and picklable: worker processes get a copy and call `read`. pandas and TFDS are imported where the
main process needs them only, so that a worker starts without them.
"""
from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, ClassVar, Protocol

from vft import storage
from vft.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd
  from ml_collections import ConfigDict

  from vft.data.readers import Content

REMOTE = ("csv", "folder", "dicom")  # whose files may lie at s3:// and the like
COLUMNS = ("id", "video", "path", "group", "split", "start_s", "end_s")  # and one for each task
SPLIT_NAMES = {"": "", "train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
# What stands before the colon of config.data.source -> its module and class here. A layout is one file and one line.
KINDS = {
    "csv": "csv_list.CsvSource",
    "folder": "folder.FolderSource",
    "dicom": "dicom.DicomSource",
    "echonet_dynamic": "echonet_dynamic.EchonetDynamic",
    "echonet_pediatric": "echonet_pediatric.EchonetPediatric",
    "camus": "camus.Camus",
    "pocus": "pocus.Pocus",
    "kinetics_list": "kinetics_list.KineticsList",
    "ucf101": "ucf101.Ucf101",
    "hmdb51": "hmdb51.Hmdb51",
    "something_something": "something_something.SomethingSomething",
    "cholec80": "cholec80.Cholec80",
    "autolaparo": "autolaparo.AutoLaparo",
    "cataract101": "cataract101.Cataract101",
    "hyperkvasir": "hyperkvasir.HyperKvasir",
    "polypdiag": "polypdiag.PolypDiag",
    "jigsaws": "jigsaws.Jigsaws",
    "tfds": "tfds_source.open_tfds",
}


class Source(Protocol):
  """A list of labelled spans and a way to their bytes.

  CHECKED: the public loader or page that the layout was checked against; "" = unconfirmed.
  """
  CHECKED: ClassVar[str]

  @property
  def classes(self) -> tuple[str, ...]:
    """Class names of the task "label" in the order of their numbers, where the layout says them; else ()."""
    ...

  @property
  def simulated(self) -> bool:
    """True where the videos are made by a program: every figure from them must say so."""
    ...

  def rows(self) -> pd.DataFrame:
    """COLUMNS and what can be a task, "label" at least; one row per labelled span. For messages, "where" names a row.

    group "" = unknown, split "" = not official, end_s nan = end of the video; cells of tasks are text, see vft.tasks.
    """
    ...

  def read(self, path: str) -> Content:
    """What `readers` take for the `path` of a row: name of a file or a folder of frames, or the bytes of a file."""
    ...


def check_kind(spec: str) -> tuple[str, str]:
  """(kind, where) of config.data.source. Raises ConfigError for a kind that is not known, or nothing after it."""
  kind, _, where = spec.partition(":")
  if kind not in KINDS or not where:
    raise ConfigError(f"config.data.source is {spec!r}{did_you_mean(kind, KINDS)}\nExpected {', '.join(KINDS)}, a "
                      "colon and a name or place, such as --config.data.source=csv:/data/clips.csv.")
  if storage.is_remote(where) and kind not in REMOTE:
    raise ConfigError(f"config.data.source is {spec!r}, but {kind} is read from this machine only.\nCopy it here, or "
                      f"list its videos in a table: {', '.join(f'{k}:' for k in REMOTE)} take remote places.")
  return kind, where


def open_source(spec: str, data_config: ConfigDict, columns: tuple[str, ...] = ("label",)) -> Source:
  """The source of `config.data.source`. `columns`: those of the tasks.

  Raises ConfigError for an unknown kind or option and DataError where there is nothing to open.
  """
  kind, where = check_kind(spec)
  module, _, name = KINDS[kind].rpartition(".")
  make = getattr(importlib.import_module(f"vft.data.sources.{module}"), name)
  if kind == "tfds":
    return make(where, data_config.tfds_dir, columns, tuple(data_config.options.items()))
  return make(where, data_config.root, data_config.follow_links, columns, tuple(data_config.options.items()))
