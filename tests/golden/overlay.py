"""What the run of configs/medical.py looks at in a real apical cine, the one of pydicom-data -> overlay_echo.png.

  python -m tests.golden.overlay runs/medical

The run has seen simulated cine only: the picture shows how an overlay looks, not what is to be seen in a heart.
Grad-CAM is highest in black corners of this cine, which is unlike what the run was trained on.
"""
import sys
import tempfile
from pathlib import Path

import data_store
import numpy as np
from absl import flags
from PIL import Image

from vft import main
from vft.explain import command, pictures

OUT = Path(__file__).with_name("overlay_echo.png")
METHOD, COLOURS, MOST = "gradcam:mixed_4f", 64, 60_000


def write(workdir: str) -> None:
  """Four frames in a row, the same under the map; at most 60 kB."""
  cine = str(Path(data_store.__path__[0]) / "data/color3d_jpeg_baseline.dcm")
  with tempfile.TemporaryDirectory() as folder:
    command.explain([workdir, cine, f"--method={METHOD}", "--crop=sector", f"--output={folder}"])
    sheet = np.asarray(Image.open(Path(folder, Path(cine).stem, "sheet.png")).convert("RGB"))
  rows = sheet.reshape(2, sheet.shape[0] // 2, sheet.shape[1], 3)
  frames = np.stack(np.split(rows, pictures.SHOWN, axis=2))[[0, 2, 3, 5]]  # (4, 2, S, S, 3)
  pictures.write_sheet(OUT, frames[:, 0], frames[:, 1], COLOURS)
  if OUT.stat().st_size > MOST:
    raise SystemExit(f"{OUT} has {OUT.stat().st_size} bytes; expected at most {MOST}: lower COLOURS.")


if __name__ == "__main__":
  flags.FLAGS.mark_as_parsed()
  sys.exit(main.guarded(lambda: write(sys.argv[1]), verbose=True))
