"""What a result must beat: the same run on one frame, on a random trunk, and the most frequent class."""
import numpy as np
from ml_collections import ConfigDict

from vft.data.manifest import Manifest
from vft.evaluate import Predictions


def make_config(config: ConfigDict, name: str) -> ConfigDict:
  """The config of a trained control; everything else, selection included, stays as in the main run.

  single_frame: training and evaluation see the middle frame of each clip, repeated. random_trunk: He initialisation
  (arXiv:1502.01852), BatchNorm statistics estimated on training clips.
  """
  changed = config.copy_and_resolve_references()
  if name == "single_frame":
    changed.data.single_frame = True
  else:
    changed.init.update(weights="", keep_init=(), layout="", inflate="centre", map_labels=False)
  return changed


def majority(manifest: Manifest, split: str) -> Predictions:
  """The class frequencies of the training clips as probabilities of every video."""
  counts = np.bincount(manifest.labels(manifest.rows("train")), minlength=len(manifest.classes))
  rows = manifest.rows(split)
  return Predictions(rows, np.tile(counts / counts.sum(), (len(rows), 1)))
