"""something_something:FOLDER, Something-Something V2: *labels.json, *train.json, *validation.json and <id>.webm files.

Seen in github.com/facebookresearch/SlowFast, slowfast/datasets/ssv2.py, and github.com/open-mmlab/mmaction2,
tools/data/parse_file_list.py: something-something-v2-labels.json is {"Putting something on something": "0", ...}; in
the lists an entry has an id and a template, "Putting [something] on [something]", the label in brackets. The labels of
the test list are not published: it is left out, the official validation is tested on, as papers do, and val is cut out
of train. Who made a video is not in the files.
"""
from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd

PLACES = (".", "labels", "annotations")  # of the lists
VIDEOS = ("20bn-something-something-v2", "videos", ".")
LISTS = {"train": "train", "validation": "test"}


class SomethingSomething(Layout):
  """A label is the template without brackets; class numbers are those of the labels file."""

  CHECKED: ClassVar[str] = "github.com/facebookresearch/SlowFast, slowfast/datasets/ssv2.py"

  @property
  def classes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  they are in a file
    """Raises DataError if the labels file is not there or its numbers are not 0, 1, 2, ..."""
    file, labels = self._load("labels", dict)
    numbered = {str(number): name for name, number in labels.items()}
    if set(numbered) != {str(i) for i in range(len(labels))}:
      raise DataError(f"{file}: class numbers {sorted(numbered)[:30]}.\nExpected 0 to {len(labels) - 1}, each once.")
    return tuple(numbered[str(i)] for i in range(len(labels)))

  def rows(self) -> pd.DataFrame:
    """Raises DataError if a list is missing or empty, or a template is no class."""
    root, known = Path(self.folder), set(self.classes)
    videos = next((v for v in VIDEOS if next((root / v).glob("*.webm"), None)), VIDEOS[0])
    spans = []
    for name, split in LISTS.items():
      file, entries = self._load(name, list)
      for i, entry in enumerate(entries):
        where = f"{file}, entry {i + 1}"
        if not isinstance(entry, dict) or not {"id", "template"} <= set(entry):
          raise DataError(f"{where}: {str(entry)[:200]}.\nExpected an object with id and template.")
        label = str(entry["template"]).replace("[", "").replace("]", "")
        if label not in known:
          raise DataError(f"{where}: {label!r} is no class of the labels file{did_you_mean(label, known)}")
        spans.append(dict(path=f"{videos}/{entry['id']}.webm", label=label, split=split, where=where))
    return make_rows(spans)

  def _load(self, name: str, kind: type) -> tuple[Path, Any]:
    """(file, what it holds, not empty) of the one file whose name ends in `name`.json."""
    found = [f for place in PLACES for f in sorted(Path(self.folder, place).glob(f"*{name}.json"))]
    expected = f"something-something-v2-{name}.json there or in one of {PLACES[1:]}"
    if len(found) != 1:
      raise DataError(f"{self.folder}: {len(found)} files *{name}.json, {[f.name for f in found]}.\n"
                      f"Expected {expected}.")
    try:
      data = json.loads("\n".join(line for _, line in read_lines(found[0], expected)))
    except ValueError as e:
      raise DataError(f"{found[0]}: no JSON ({e}).\nExpected {expected}.") from None
    if not isinstance(data, kind) or not data:
      raise DataError(f"{found[0]}: {type(data).__name__} of {len(data) if hasattr(data, '__len__') else 0}.\n"
                      f"Expected a {kind.__name__} that is not empty.")
    return found[0], data
