"""A tiny HyperKvasir: 12 videos of two findings of two categories and tracts."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

HEADER = "Video file,Organ,Finding 1,Classification 1,Detailed description of finding,Finding 2,Classification 2"
FINDINGS = (("Lower GI", "polyps", "Pathological findings", "lower-gi-tract/pathological-findings/polyps"),
            ("Upper GI", "Z-line", "Anatomical landmarks", "upper-gi-tract/anatomical-landmarks/z-line"))
EXPECTED = {"splits": {"": 12}, "groups": 0, "labels": {
    "label": {"polyps", "Z-line"}, "category": {"Pathological findings", "Anatomical landmarks"},
    "tract": {"Lower GI", "Upper GI"}}}


def make(folder: Path) -> None:
  """Writes labeled-videos/ with video-labels.csv in it."""
  rng, lines = np.random.default_rng(0), [HEADER]
  for i in range(12):
    organ, finding, category, place = FINDINGS[i % 2]
    path = folder / "labeled-videos" / place / f"11305ea5-{i:04}.avi"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, tiny.disc((0.9, 0.3)[i % 2], rng), fps=10, codec="mpeg4")
    lines.append(f'{path.stem},{organ},{finding} ,{category},"small, flat",,')
  (folder / "labeled-videos/video-labels.csv").write_text("\n".join([*lines, ""]))
