"""A tiny CAMUS: eight patients of two views, grey sequences of different shapes, with the lists of its split."""
from pathlib import Path

import nibabel
import numpy as np

from tests import tiny

SPLITS = {"training": range(1, 5), "validation": range(5, 7), "testing": range(7, 9)}
EXPECTED = {"splits": {"train": 8, "val": 4, "test": 4}, "groups": 8,
            "labels": {"EF": {"56", "31"}, "ImageQuality": {"Poor", "Medium", "Good"}, "view": {"2CH", "4CH"}}}


def make(folder: Path) -> None:
  """Writes database_nifti/ and database_split/."""
  rng = np.random.default_rng(0)
  for number in range(1, 9):
    name = f"patient{number:04}"
    place = folder / "database_nifti" / name
    place.mkdir(parents=True)
    for view, quality in (("2CH", ("Poor", "Medium", "Good")[number % 3]), ("4CH", "Good")):
      video = tiny.disc((0.9, 0.3)[number % 2], rng)[:10, :, :56, 0]  # (T, H, W) of 64 rows
      save(place / f"{name}_{view}_half_sequence.nii.gz", video)
      (place / f"Info_{view}.cfg").write_text(
          f"ED: 1\nES: 10\nNbFrame: 10\nSex: F\nAge: 56\nImageQuality: {quality}\nEF: {(56, 31)[number % 2]}\n"
          "FrameRate: 47.6\n")
  (folder / "database_split").mkdir()
  for split, numbers in SPLITS.items():
    (folder / f"database_split/subgroup_{split}.txt").write_text("".join(f"patient{i:04}\n" for i in numbers))


def save(path: Path, video: np.ndarray) -> None:
  """Writes (T, H, W) as (W, H, T), as the files of CAMUS are."""
  nibabel.nifti1.Nifti1Image(np.ascontiguousarray(video.transpose(2, 1, 0)), np.eye(4)).to_filename(path)
