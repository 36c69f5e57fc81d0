"""folder:ROOT, a class per folder: ROOT/class/*.mp4, or ROOT/{train,val,test}/class/*.mp4."""
from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from vft import storage
from vft.data.sources import COLUMNS, SPLIT_NAMES
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

# Found beside videos and never one; every other file, with any name, is tried, so that none is left out in silence.
NOT_VIDEO = (".txt", ".csv", ".tsv", ".json", ".xml", ".yaml", ".md", ".pdf", ".html", ".ini", ".db", ".py", ".npy",
             ".npz", ".zip", ".jpg", ".jpeg", ".png", ".bmp", ".srt", ".vtt", ".sha256", ".md5")


class FolderSource(Layout):
  """Hidden files and folders are left out; a video may lie deeper than the folder of its class."""

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there is no folder, no class or no video, splits beside others, or a link out of the root."""
    import pandas as pd
    names = _remote(self.folder) if storage.is_remote(self.folder) else None
    root = Path(self.folder)
    if names == [] or (names is None and not root.is_dir()):
      raise DataError(f"There is no folder {self.folder!r}.\nExpected --config.data.source=folder:ROOT with "
                      "ROOT/class/*.mp4 or ROOT/train/class/*.mp4.")
    labelled, found = _by_class(names) if names is not None else _by_class_here(root)
    if not found:
      raise DataError(f"No videos in the {labelled} class folders of {self.folder!r}.\nExpected files such as "
                      "ROOT/class/clip.mp4 or ROOT/train/class/clip.mp4.")
    splits = {label for split, label, _ in found if not split and label.lower() in SPLIT_NAMES}
    if "train" in map(str.lower, splits) and len(splits) > 1:  # else a model would learn to tell the splits apart
      tops = {name.split("/")[0] for name in names if "/" in name} if names else {top.name for top in _folders(root)}
      raise DataError(f"{self.folder!r} has the splits {sorted(splits)} and other folders beside them: "
                      f"{sorted(tops - splits)[:10]}.\nExpected ROOT/train/class/*.mp4 and the like alone, or "
                      "ROOT/class/*.mp4: move the others away.")
    for _, _, path in found:
      self.read(path)
    rows = pd.DataFrame(found, columns=["split", "label", "path"]).assign(group="", start_s=0.0, end_s=math.nan)
    rows["label"] = rows.label.str.normalize("NFC")  # one class, whichever bytes its letters have
    rows["id"] = rows["video"] = rows.path
    return rows[[*COLUMNS, "label"]]


def _by_class_here(root: Path) -> tuple[int, list[tuple[str, str, str]]]:
  """Number of class folders, and (split, class, path) of their files."""
  tops = _folders(root)
  labelled = [("", top) for top in tops]
  if _official(top.name for top in tops):
    labelled = [(SPLIT_NAMES[top.name.lower()], c) for top in tops for c in _folders(top)]
  return len(labelled), [(split, c.name, f.relative_to(root).as_posix()) for split, c in labelled for f in _files(c)]


def _by_class(names: list[str]) -> tuple[int, list[tuple[str, str, str]]]:
  """The same of remote files, whose folders are but parts of their names."""
  parts = [name.split("/") for name in names]
  depth = 1 + _official(p[0] for p in parts if len(p) > 1)
  inner = [p for p in parts if len(p) > depth]
  order = sorted(inner, key=lambda p: (p[:depth], PurePosixPath(*p)))
  found = [(SPLIT_NAMES[p[0].lower()] if depth > 1 else "", p[depth - 1], "/".join(p)) for p in order
           if PurePosixPath(*p).suffix.lower() not in NOT_VIDEO]
  return len({tuple(p[:depth]) for p in inner}), found


def _official(tops: Iterable[str]) -> bool:
  """Whether the first folders are the splits."""
  names = {top.lower() for top in tops}
  return bool(names) and names <= set(SPLIT_NAMES)


def _remote(folder: str) -> list[str]:
  """Names below a remote folder; hidden ones are left out."""
  return [name for name in storage.find(folder) if not any(part.startswith(".") for part in name.split("/"))]


def _folders(top: Path) -> list[Path]:
  return sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(top: Path) -> list[Path]:
  """Also broken links: they are shown as skipped."""
  return sorted(p for p in top.rglob("*") if (p.is_symlink() or not p.is_dir()) and p.suffix.lower() not in NOT_VIDEO
                and not any(part.startswith(".") for part in p.relative_to(top).parts))
