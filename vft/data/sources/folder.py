"""folder:ROOT, a class per folder: ROOT/class/*.mp4, or ROOT/{train,val,test}/class/*.mp4."""
from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

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
    """Raises DataError if there is no folder, no class or no video, or a link leads out of the root."""
    import pandas as pd
    root = Path(self.folder)
    if not root.is_dir():
      raise DataError(f"There is no folder {self.folder!r}.\nExpected --config.data.source=folder:ROOT with "
                      "ROOT/class/*.mp4 or ROOT/train/class/*.mp4.")
    tops = _folders(root)
    official = bool(tops) and all(t.name.lower() in SPLIT_NAMES for t in tops)
    labelled = [("", top) for top in tops]
    if official:
      labelled = [(SPLIT_NAMES[top.name.lower()], c) for top in tops for c in _folders(top)]
    found = [(split, c.name, f.relative_to(root).as_posix()) for split, c in labelled for f in _files(c)]
    if not found:
      raise DataError(f"No videos in the {len(labelled)} class folders of {self.folder!r}.\nExpected files such as "
                      "ROOT/class/clip.mp4 or ROOT/train/class/clip.mp4.")
    for _, _, path in found:
      self.read(path)
    rows = pd.DataFrame(found, columns=["split", "label", "path"]).assign(group="", start_s=0.0, end_s=math.nan)
    rows["id"] = rows["video"] = rows.path
    return rows[[*COLUMNS, "label"]]


def _folders(top: Path) -> list[Path]:
  return sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))


def _files(top: Path) -> list[Path]:
  """Also broken links: they are shown as skipped."""
  return sorted(p for p in top.rglob("*") if (p.is_symlink() or not p.is_dir()) and p.suffix.lower() not in NOT_VIDEO
                and not any(part.startswith(".") for part in p.relative_to(top).parts))
