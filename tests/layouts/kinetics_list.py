"""A tiny Kinetics: lists of "path number" and a file of names that is not in alphabetical order."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

NAMES = ("zumba", "abseiling")
SIZES = {"train": 8, "val": 4}
EXPECTED = {"splits": {"train": 8, "test": 4}, "groups": 0, "labels": {"label": set(NAMES)}}


def make(folder: Path) -> None:
  """Writes train.csv, val.csv, test.csv without labels, labels.txt and a folder per split."""
  rng = np.random.default_rng(0)
  for split, size in SIZES.items():
    (folder / split).mkdir(parents=True)
    for i in range(size):
      write_clip(folder / split / f"a clip {i}.mp4", tiny.disc((0.9, 0.3)[i % 2], rng), fps=10)
    (folder / f"{split}.csv").write_text("".join(f"{split}/a clip {i}.mp4 {i % 2}\n" for i in range(size)))
  (folder / "test.csv").write_text("test/0.mp4 -1\ntest/1.mp4 -1\n")
  (folder / "labels.txt").write_text("\n".join(NAMES))
