"""A tiny EchoNet-Dynamic: 12 videos, of which half are listed without .avi."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

SPLITS = {"TRAIN": range(6), "VAL": range(6, 9), "TEST": range(9, 12)}
EXPECTED = {"splits": {"train": 6, "val": 3, "test": 3}, "groups": 0,
            "labels": {"EF": {"55.5", "30.25"}, "ESV": {"40.0"}, "EDV": {"90.0"}}}


def make(folder: Path) -> None:
  """Writes FileList.csv and Videos/."""
  rng, lines = np.random.default_rng(0), ["FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split"]
  (folder / "Videos").mkdir(parents=True)
  for split, numbers in SPLITS.items():
    for i in numbers:
      name = f"0X{0x1A0A263B22CCD966 + i:X}"
      write_clip(folder / f"Videos/{name}.avi", tiny.disc((0.9, 0.3)[i % 2], rng), fps=50, codec="mjpeg",
                 pix_fmt="yuvj420p")
      lines.append(f"{name}{'.avi' if i % 4 < 2 else ''},{(55.5, 30.25)[i % 2]},40.0,90.0,112,112,50,20,{split}")
  (folder / "FileList.csv").write_text("\n".join([*lines, ""]))
