"""A tiny COVID-19 POCUS: ten convex videos in three containers and a linear one; a table with most of the patients."""
from pathlib import Path

import numpy as np

from tests import tiny
from tests.clips import write_clip

PATIENTS = {"Cov-Atlas-Day+1.gif": "35", "Cov-Atlas-Day+2.gif": "35", "Cov_new_pregnant_vid1.avi": "50",
            "Cov-grep-7505.mp4": "51", "Cov-clarius.mp4": "52", "Reg-Atlas.gif": "38", "Reg_Avi_lung-sliding.MP4": "39",
            "Reg-bcpocus.mp4": "40", "reg-NormalLung.mp4": "41", "Reg_clinicalreview_mov1.mp4": "nan"}
CODECS = {".gif": dict(codec="gif", pix_fmt="rgb8"), ".avi": dict(codec="mjpeg", pix_fmt="yuvj420p")}
EXPECTED = {"splits": {"": 10}, "groups": 8, "labels": {"label": {"covid", "regular"}, "probe": {"convex"}}}


def make(folder: Path) -> None:
  """Writes pocus_videos/ and dataset_metadata.csv."""
  rng, lines = np.random.default_rng(0), ["Date added,Filename,Label,Patient ID / Name,Comments,"]
  for probe in ("convex", "linear"):
    (folder / "pocus_videos" / probe).mkdir(parents=True)
  write_clip(folder / "pocus_videos/linear/Vir-testa.mp4", tiny.disc(0.3, rng), fps=10)
  (folder / "pocus_videos/convex/.DS_Store").touch()
  for name, patient in PATIENTS.items():
    path = folder / "pocus_videos/convex" / name
    write_clip(path, tiny.disc(0.9 if name.startswith("Cov") else 0.3, rng), fps=10, **CODECS.get(path.suffix, {}))
    lines.append(f'20.04.20,{path.stem.replace("_", "-")},x,{patient},"B-lines,\npleura",')
  (folder / "dataset_metadata.csv").write_text("\n".join([*lines, ""]))
