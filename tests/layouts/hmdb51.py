"""A tiny HMDB51: two classes, each with videos of train, of test and one that split 1 does not use."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

CLASSES = ("wave", "brush_hair")
USES = "1111220"
EXPECTED = {"splits": {"train": 8, "test": 4}, "groups": 0, "labels": {"label": set(CLASSES)}}


def make(folder: Path) -> None:
  """Writes a folder per class and testTrainMulti_7030_splits/."""
  rng = np.random.default_rng(0)
  (folder / "testTrainMulti_7030_splits").mkdir(parents=True)
  for number, name in enumerate(CLASSES):
    (folder / name).mkdir()
    files = [f"April_09_{name}_u_nm_np1_ba_goo_{i}.avi" for i in range(len(USES))]
    for file in files:
      write_clip(folder / name / file, tiny.disc((0.9, 0.3)[number], rng), fps=30, codec="mpeg4")
    (folder / f"testTrainMulti_7030_splits/{name}_test_split1.txt").write_text(
        "".join(f"{file} {use} \n" for file, use in zip(files, USES, strict=True)))
