"""A tiny AutoLaparo: 4 s at 5 frames a second, a label a second, two phases."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

UPDATES = dict(model=dict(depth=1))  # less to compile
VIDEOS = (1, 2, 3, 4, 11, 12, 15, 16)  # four of train, two of val, two of test
EXPECTED = {"splits": {"train": 8, "val": 4, "test": 4}, "groups": 8,
            "labels": {"phase": {"Preparation", "Dividing Ligament and Peritoneum"}}}


def make(folder: Path) -> None:
  """Writes videos/ and labels/."""
  rng = np.random.default_rng(0)
  for name in ("videos", "labels"):
    (folder / name).mkdir(parents=True)
  for number in VIDEOS:
    write_clip(folder / f"videos/{number:02}.mp4", tiny.disc(0.3, rng), fps=5)
    (folder / f"labels/label_{number:02}.txt").write_text("Frame\tPhase\n1\t1\n2\t1\n3\t2\n4\t2\n")
