"""One module per data set: `make(folder)` writes a tiny tree as that data set lies on the disk, with real videos.

A module may also say, for tests/data/test_layouts.py:
  SOURCE: what follows the folder in config.data.source, such as "/1.0.0"
  UPDATES: fields of its config that the tiny tree needs otherwise, such as dict(data=dict(max_bad_fraction=0.1))
  EXPECTED: {"splits": {"train": 4, "": 0, ...}, "groups": 6, "labels": {column: set of cells}} of its rows
  SEQUENCE: True for whole procedures (config.sequence.unit = "video")
"""
import importlib
import pkgutil
from types import ModuleType


def modules() -> dict[str, ModuleType]:
  """{name of a layout: its module}."""
  return {m.name: importlib.import_module(f"tests.layouts.{m.name}") for m in pkgutil.iter_modules(__path__)}
