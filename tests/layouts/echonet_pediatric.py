"""A tiny EchoNet-Pediatric: ten patients, one a fold, each with a video of either view."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

EXPECTED = {"splits": {"train": 8, "val": 1, "test": 1}, "groups": 10,
            "labels": {"EF": {"60.1", "35.2"}, "view": {"A4C"}}}


def make(folder: Path) -> None:
  """Writes A4C/ and PSAX/, each with FileList.csv and Videos/."""
  rng = np.random.default_rng(0)
  for number, view in enumerate(("A4C", "PSAX")):
    lines = ["FileName,EF,Sex,Age,Weight,Height,Split"]
    (folder / view / "Videos").mkdir(parents=True)
    for i in range(10):
      name = f"CR32a{7555 + i}-CR32a{7582 + i}-{39 + number:06}.avi"
      write_clip(folder / view / "Videos" / name, tiny.disc((0.9, 0.3)[i % 2], rng), fps=30, codec="mjpeg",
                 pix_fmt="yuvj420p")
      lines.append(f"{name},{(60.1, 35.2)[i % 2]},F,7,22.5,118,{i}")
    (folder / view / "FileList.csv").write_text("\n".join([*lines, ""]))
