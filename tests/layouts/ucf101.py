"""A tiny UCF101: two classes of five groups; numbers of classes are not in alphabetical order."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

CLASSES = ("YoYo", "ApplyEyeMakeup")
EXPECTED = {"splits": {"train": 12, "test": 4}, "groups": 8, "labels": {"label": set(CLASSES)}}


def make(folder: Path) -> None:
  """Writes UCF-101/ and ucfTrainTestlist/."""
  rng, lists = np.random.default_rng(0), {"train": "", "test": ""}
  (folder / "ucfTrainTestlist").mkdir(parents=True)
  for number, name in enumerate(CLASSES):
    (folder / "UCF-101" / name).mkdir(parents=True)
    for group in (1, 8, 9, 10):
      for clip in (1, 2):
        path = f"{name}/v_{name}_g{group:02}_c{clip:02}.avi"
        write_clip(folder / "UCF-101" / path, tiny.disc((0.9, 0.3)[number], rng), fps=25, codec="mpeg4")
        lists["test" if group == 1 else "train"] += path + ("\r\n" if group == 1 else f" {number + 1}\r\n")
  for split, lines in lists.items():
    (folder / f"ucfTrainTestlist/{split}list01.txt").write_text(lines)
  (folder / "ucfTrainTestlist/classInd.txt").write_text("".join(f"{i} {c}\r\n" for i, c in enumerate(CLASSES, 1)))
