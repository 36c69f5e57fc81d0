"""A tiny PolypDiag: eight videos of train, four of val."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

EXPECTED = {"splits": {"train": 8, "test": 4}, "groups": 0, "labels": {"label": {"normal", "abnormal"}}}


def make(folder: Path) -> None:
  """Writes splits/ and videos/."""
  rng = np.random.default_rng(0)
  for name in ("splits", "videos"):
    (folder / name).mkdir(parents=True)
  for split, numbers in (("train", range(8)), ("val", range(8, 12))):
    for i in numbers:
      write_clip(folder / f"videos/v{i}.mp4", tiny.disc((0.3, 0.9)[i % 2], rng), fps=10)
    (folder / f"splits/{split}.txt").write_text("".join(f"v{i}.mp4,{i % 2}\n" for i in numbers))
