"""A tiny JIGSAWS: the task Suturing, two trials each of four surgeons, 2 s at 10 frames a second, annotated at 30."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

SURGEONS = {"B": "N", "C": "I", "D": "E", "E": "N"}
EXPECTED = {"splits": {"train": 12, "test": 4}, "groups": 4, "labels": {
    "gesture": {"G1", "G2"}, "skill": {"novice", "intermediate", "expert"}}}


def make(folder: Path) -> None:
  """Writes Suturing/ with video/, transcriptions/ and its meta file."""
  rng, meta = np.random.default_rng(0), []
  for name in ("video", "transcriptions"):
    (folder / "Suturing" / name).mkdir(parents=True)
  for surgeon, skill in SURGEONS.items():
    for trial in (1, 2):
      name = f"Suturing_{surgeon}{trial:03}"
      for capture in (1, 2):
        write_clip(folder / f"Suturing/video/{name}_capture{capture}.avi", tiny.disc(0.3, rng), fps=10, codec="mpeg4")
      (folder / f"Suturing/transcriptions/{name}.txt").write_text("4 30 G1 \n31 57 G2 \n")
      meta.append(f"{name}\t\t{skill}\t{13 + trial}\t\t3\t2\t1\t2\t2\t3\n")
  (folder / "Suturing/meta_file_Suturing.txt").write_text("".join(meta))
