"""A tiny TFDS data set in array_record files whose features have names of their own."""
from pathlib import Path
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from tests import tiny
from tests.clips import write_clip

SOURCE = "/beats/1.0.0"
SIZES = {"train": 6, "validation": 3, "test": 3}
UPDATES = {"data": {"options": {"video": "mp4", "group": "who", "id": ""}},
           "tasks": {"speed": {"kind": "single"}, "rate": {"kind": "regression"}}}
EXPECTED = {"splits": {"train": 6, "val": 3, "test": 3}, "groups": 12,
            "labels": {"speed": {"slow", "fast"}, "rate": {"0.9", "0.3"}, "view": {"A4C"}}}


class Beats(tfds.core.GeneratorBasedBuilder):
  """Discs."""
  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES: ClassVar[dict[str, str]] = {}
  pkg_dir_path: Path

  def _info(self):
    return self.dataset_info_from_configs(description="Discs.", features=tfds.features.FeaturesDict({
        "mp4": tfds.features.Tensor(shape=(), dtype=np.object_), "who": np.int32, "view": tfds.features.Text(),
        "speed": tfds.features.ClassLabel(names=["slow", "fast"]), "rate": np.float32,
        "curve": tfds.features.Tensor(shape=(2,), dtype=np.float32)}))

  def _split_generators(self, dl_manager):
    return {split: self._generate_examples(split) for split in SIZES}

  def _generate_examples(self, split):
    rng = np.random.default_rng(len(split))
    for i in range(SIZES[split]):
      rate = (0.3, 0.9)[i % 2]
      path = write_clip(self.pkg_dir_path / "clip.mp4", tiny.disc(rate, rng), fps=16)
      yield i, {"mp4": Path(path).read_bytes(), "who": 10 * len(split) + i, "view": "A4C", "speed": i % 2, "rate": rate,
                "curve": np.zeros(2, np.float32)}


def make(folder: Path) -> None:
  """Builds beats/1.0.0."""
  folder.mkdir(parents=True, exist_ok=True)
  Beats.pkg_dir_path = folder
  Beats(data_dir=folder, file_format="array_record").download_and_prepare()
