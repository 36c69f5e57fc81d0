"""A tiny Cholec80: 4 s at 5 frames a second, annotated at 25; two phases, and tools of each second but the last."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

UPDATES = dict(model=dict(depth=1))  # less to compile
VIDEOS = (1, 2, 3, 4, 41, 42, 49, 50)  # 40/8/32: four of train, two of val, two of test
PHASES = ("Preparation", "CalotTriangleDissection")
EXPECTED = {"splits": {"train": 8, "val": 4, "test": 4}, "groups": 8, "labels": {"phase": set(PHASES)}}


def make(folder: Path) -> None:
  """Writes videos/, phase_annotations/ and tool_annotations/."""
  rng = np.random.default_rng(0)
  for name in ("videos", "phase_annotations", "tool_annotations"):
    (folder / name).mkdir(parents=True)
  for number in VIDEOS:
    write_clip(folder / f"videos/video{number:02}.mp4", tiny.disc(0.3, rng), fps=5)
    lines = [f"{frame}\t{PHASES[frame >= 50]}" for frame in range(100)]
    (folder / f"phase_annotations/video{number:02}-phase.txt").write_text("\n".join(["Frame\tPhase", *lines, ""]))
    (folder / f"tool_annotations/video{number:02}-tool.txt").write_text(
        "Frame\tGrasper\tHook\n0\t1\t0\n25\t1\t1\n50\t0\t0\n")
