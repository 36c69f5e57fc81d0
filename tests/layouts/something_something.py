"""A tiny Something-Something V2: VP9 in WebM, two templates whose numbers are not in alphabetical order."""
import json
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

TEMPLATES = ("Putting [something] on [something]", "Closing [something]")
LABELS = {"Putting something on something": "0", "Closing something": "1"}
SIZES = {"train": range(8), "validation": range(8, 12)}
EXPECTED = {"splits": {"train": 8, "test": 4}, "groups": 0, "labels": {"label": set(LABELS)}}


def make(folder: Path) -> None:
  """Writes the four json files and 20bn-something-something-v2/."""
  rng = np.random.default_rng(0)
  videos = folder / "20bn-something-something-v2"
  videos.mkdir(parents=True)
  for split, numbers in SIZES.items():
    entries = [dict(id=str(74225 + i), label="putting a pen on a book", template=TEMPLATES[i % 2]) for i in numbers]
    for i, entry in zip(numbers, entries, strict=True):
      write_clip(videos / f"{entry['id']}.webm", tiny.disc((0.9, 0.3)[i % 2], rng)[:9], fps=12, codec="libvpx-vp9")
    (folder / f"something-something-v2-{split}.json").write_text(json.dumps(entries))
  (folder / "something-something-v2-test.json").write_text(json.dumps([dict(id="1")]))
  (folder / "something-something-v2-labels.json").write_text(json.dumps(LABELS))
