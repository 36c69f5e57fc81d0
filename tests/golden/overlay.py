"""What the run of configs/medical.py looks at in a real apical cine, the one of pydicom-data -> overlay_echo.png.

  python -m tests.golden.overlay runs/medical

The run has seen simulated cine only: the picture shows how an overlay looks, not what is to be seen in a heart.
Above the frames, then Grad-CAM, then integrated gradients. Grad-CAM is highest in black corners of this cine, which is
unlike what the run was trained on; where a pixel is black, integrated gradients are 0.
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
METHODS, COLOURS, SCALE, MOST = ("gradcam:mixed_4f", "integrated_gradients"), 112, 2, 160_000


def write(workdir: str) -> None:
  """Four frames in a row, below them the same under each map; at most MOST bytes."""
  cine, rows = str(Path(data_store.__path__[0]) / "data/color3d_jpeg_baseline.dcm"), []
  for method in METHODS:
    with tempfile.TemporaryDirectory() as folder:
      command.explain([workdir, cine, f"--method={method}", "--crop=sector", f"--output={folder}"])
      sheet = np.asarray(Image.open(Path(folder, Path(cine).stem, "sheet.png")).convert("RGB"))
    rows += np.split(sheet, 2)[len(rows) > 0:]
  columns = np.split(np.concatenate(rows), pictures.SHOWN, axis=1)
  whole = Image.fromarray(np.concatenate([columns[i] for i in (0, 2, 3, 5)], axis=1))
  large = whole.resize((SCALE * whole.width, SCALE * whole.height), Image.Resampling.BICUBIC)
  large.quantize(COLOURS, dither=Image.Dither.NONE).save(OUT, optimize=True)
  if OUT.stat().st_size > MOST:
    raise SystemExit(f"{OUT} has {OUT.stat().st_size} bytes; expected at most {MOST}: lower COLOURS.")


if __name__ == "__main__":
  flags.FLAGS.mark_as_parsed()
  sys.exit(main.guarded(lambda: write(sys.argv[1]), verbose=True))
