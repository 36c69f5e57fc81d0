"""A tiny Cataract-101: 63 videos of 2 s, so that each split has some, at 5 frames a second as in videos.csv."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

UPDATES = dict(model=dict(depth=1))  # less to compile
VIDEOS = range(269, 269 + 63)  # 51 of train, 10 of val, 2 of test
EXPECTED = {"splits": {"train": 102, "val": 20, "test": 4}, "groups": 63,
            "labels": {"phase": {"Incision", "Viscous agent injection"}, "surgeon": {"1", "2", "3", "4"}}}


def make(folder: Path) -> None:
  """Writes videos/ and the three tables."""
  rng = np.random.default_rng(0)
  (folder / "videos").mkdir(parents=True)
  for number in VIDEOS:
    write_clip(folder / f"videos/case_{number}.mp4", tiny.disc(0.3, rng)[:10], fps=5)
  (folder / "videos.csv").write_text("VideoID;Frames;FPS;Surgeon;Experience\n" + "".join(
      f"{number};10;5;{number % 4 + 1};{number % 2 + 1}\n" for number in VIDEOS))
  (folder / "phases.csv").write_text("Phase;Meaning\n1;Incision\n2;Viscous agent injection\n")
  (folder / "annotations.csv").write_text("VideoID;FrameNo;Phase\n" + "".join(
      f"{number};0;1\n{number};5;2\n" for number in VIDEOS))
