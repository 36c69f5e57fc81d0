"""What a result must beat: the same run on one frame, on a random trunk, and the most frequent class."""
import numpy as np
from ml_collections import ConfigDict

from vft.data.manifest import Manifest
from vft.evaluate import Predictions
from vft.tasks import Task


def make_config(config: ConfigDict, name: str) -> ConfigDict:
  """The config of a trained control; everything else, selection included, stays as in the main run.

  single_frame: training and evaluation see the middle frame of each clip, repeated. random_trunk: He initialisation
  (arXiv:1502.01852), BatchNorm statistics estimated on training clips.
  """
  changed = config.copy_and_resolve_references()
  if name == "single_frame":
    changed.data.single_frame = True
  else:
    changed.init.update(weights="", keep_init=(), layout="", inflate="centre", map_labels=False, from_probe="")
  return changed


def majority(manifest: Manifest, split: str) -> Predictions:
  """What is most frequent in the training clips, for every video: class frequencies, or the mean of a number."""
  seen, rows = manifest.labels(manifest.rows("train")), manifest.rows(split)
  return Predictions(rows, {t.name: np.tile(_usual(t, seen[t.name]), (len(rows), 1)) for t in manifest.tasks})


def _usual(task: Task, labels: np.ndarray) -> np.ndarray:
  if task.kind == "regression":
    return np.array([task.mean])
  if task.kind == "multi":
    return (labels > 0).sum(axis=0) / np.maximum((labels >= 0).sum(axis=0), 1)
  return np.bincount(labels[labels >= 0], minlength=len(task.classes)) / max((labels >= 0).sum(), 1)
