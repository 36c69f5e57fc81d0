"""`echo_phantom`: a TFDS data set of SIMULATED apical echocardiography, made on this machine. No patient is behind it.

  builder = load_builder()  # makes it on first use: 600 clips, about a minute on two cores, about 40 MB
  source = builder.as_data_source("train")  # records with `video` = the bytes of an h264 mp4
"""
import contextlib
import functools
import io
import os
import pathlib
import shutil
from collections.abc import Iterator

import filelock
import numpy as np
import tensorflow_datasets as tfds
from joblib.externals import loky

from vft.data.builders import echo_heart, echo_physics

NUM_PATIENTS = {"full": {"train": 160, "validation": 40, "test": 100}, "tiny": {"train": 6, "validation": 3, "test": 6}}
CLIPS_PER_PATIENT = 2
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # in each worker: there is one per core


def patients(config: str) -> dict[str, list[tuple[int, str]]]:
  """Split -> (patient number, label): no patient is in two splits, and in each split the labels are balanced."""
  rng, first, splits = np.random.default_rng(echo_heart.SEED), 0, {}
  for split, count in NUM_PATIENTS[config].items():
    labels = rng.permutation(np.arange(count) % len(echo_heart.LABELS))
    splits[split] = [(first + i, echo_heart.LABELS[label]) for i, label in enumerate(labels)]
    first += count
  return splits


class EchoPhantom(tfds.core.GeneratorBasedBuilder):
  """SIMULATED echocardiography cine with three kinds of wall motion; see echo_heart and echo_physics."""
  VERSION = tfds.core.Version("1.0.0")
  RELEASE_NOTES = {"1.0.0": "First version."}  # noqa: RUF012  TFDS wants a plain dict
  BUILDER_CONFIGS = [  # noqa: RUF012
      tfds.core.BuilderConfig(name="full", description="SIMULATED: 300 patients of 2 clips."),
      tfds.core.BuilderConfig(name="tiny", description="SIMULATED: 15 patients of 2 clips, for tests."),
  ]

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
        builder=self,
        description="SIMULATED apical echocardiography (point scatterers, no patient data): normal motion, "
                    "globally reduced motion, or one wall segment that hardly moves. Splits are by patient.",
        features=tfds.features.FeaturesDict({
            "id": tfds.features.Text(),  # p012_c1
            "patient": tfds.features.Text(),  # p012
            "video": tfds.features.Tensor(shape=(), dtype=np.object_),  # the bytes of an h264 mp4, 128 x 128
            "label": tfds.features.ClassLabel(names=list(echo_heart.LABELS)),
            "ejection_fraction": np.float32,  # percent, by Simpson's disks of the simulated cavity
            "heart_rate": np.float32,  # bpm
            "frame_rate": np.float32,  # Hz
            "segment": tfds.features.Text(),  # the one that hardly moves, or ""
        }),
        supervised_keys=("video", "label"),
        license="Apache-2.0",
    )

  def _split_generators(self, dl_manager):
    del dl_manager  # nothing is downloaded
    config = self.builder_config.name if self.builder_config else "full"
    return {split: self._generate_examples(members) for split, members in patients(config).items()}

  def _generate_examples(self, members: list[tuple[int, str]]) -> Iterator[tuple[str, dict]]:
    """Simulates in one process per core, in order. loky neither forks (jax has threads) nor imports __main__ anew."""
    jobs = [(patient, clip, label) for patient, label in members for clip in range(1, CLIPS_PER_PATIENT + 1)]
    pool = loky.ProcessPoolExecutor(initializer=echo_physics.end_with, initargs=(os.getpid(),), env=ONE_THREAD)
    try:
      for example in pool.map(echo_physics.make_clip, *zip(*jobs, strict=True), chunksize=4):
        yield example["id"], example
    finally:
      pool.shutdown(wait=True, kill_workers=True)  # do not finish the queue after an error or Ctrl-C


def load_builder(data_dir: str = "", config: str = "full") -> tfds.core.DatasetBuilder:
  """The prepared data set of `config` ("full" or "tiny") below `data_dir`, made on first use; "" = TFDS's own folder.

  A lock lets one process prepare while others wait; what a killed one left behind is cleared away under the lock.
  """
  make = functools.partial(EchoPhantom, data_dir=data_dir or None, config=config, file_format="array_record")
  builder = make()
  final = pathlib.Path(builder.data_dir)
  if final.exists():  # TFDS renames a finished folder to this name, so it is complete
    return builder
  final.parent.mkdir(parents=True, exist_ok=True)
  with filelock.FileLock(final.parent / f".{final.name}.lock"):
    if not final.exists():
      for left in final.parent.glob(f"incomplete.*_{final.name}"):
        shutil.rmtree(left)
      tfds.disable_progress_bar()
      with contextlib.redirect_stdout(io.StringIO()):  # TFDS would speak of a download
        builder.download_and_prepare(file_format="array_record")
  return make()
