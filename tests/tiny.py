"""A data set and a config small enough to train in seconds: beating discs, a VideoMAE of two blocks."""
import csv
import functools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from tests import drawn
from tests.clips import write_clip
from vft import config as configs
from vft import models, stages, startup, trees
from vft.tasks import Task
from vft.weights import own

CLASSES = ("fast", "slow")
TEXT = '''"""Head of a tiny VideoMAE, on beating discs."""
from math import inf, nan  # as repr writes them

from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="csv:{csv}", num_frames=8, fps=8.0, resize=64, size=56, workers=0)
  c.model.update(name="videomae", variant="tiny")
  c.init.update(weights="{weights}", keep_init={keep}, stats_clips=4)
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-2, wd=0.0))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=8, epochs=2, log_every=1)
  c.eval.bootstrap = 50
  c.controls = ()
  c.features.dir = "{folder}/features"
  c.log.update(tensorboard=False, progress=False)
  c.report.write = False
  c.update({updates})
  return c
'''


def disc(rate: float, rng: np.random.Generator) -> np.ndarray:
  """(20, 64, 64, 3) uint8: a bright disc whose radius swings by `rate` radians a frame, in noise."""
  rows, columns = np.mgrid[:64, :64] - 32
  radius = 15 + 5 * np.sin(rate * np.arange(20) + rng.uniform(0, 6))
  inside = rows**2 + columns**2 < radius[:, None, None]**2
  grey = (150 * inside + rng.integers(0, 60, inside.shape)).astype(np.uint8)
  return np.repeat(grey[..., None], 3, axis=-1)


def make_csv(folder: Path, patients: int = 12, clips: int = 2) -> Path:
  """Writes `clips` videos each of `patients`, half of them fast and half slow; returns the CSV file that lists them."""
  rng, rows = np.random.default_rng(0), [("path", "label", "group")]
  for p in range(patients):
    for c in range(clips):
      path, label = f"p{p}_{c}.mp4", CLASSES[p % 2]
      write_clip(folder / path, disc({"fast": 0.9, "slow": 0.3}[label], rng), fps=16)
      rows.append((path, label, f"p{p}"))
  with (folder / "clips.csv").open("w", newline="") as file:
    csv.writer(file).writerows(rows)
  return folder / "clips.csv"


def write_config_file(path: Path, csv: Path, **updates: Any) -> Path:
  """Writes a config file on the clips of `csv`, changed as in train=dict(batch=4); features lie beside it.

  A VideoMAE starts from a file, other models from what is drawn, which takes seconds to compile.
  """
  weights, keep = "", ()
  if updates.get("model", {}).get("name", "videomae") == "videomae":
    weights, keep = write_weights(path.parent / "trunk.safetensors", "videomae"), ("head/.*",)
  path.write_text(TEXT.format(csv=csv, folder=path.parent, weights=weights, keep=keep, updates=repr(updates)))
  return path


def write_weights(path: Path, family: str) -> Path:
  """Writes a file of `vft weights convert` with the trunk of the family's tiny variant, the same at each call."""
  model, tree = trunk(family)
  own.save(path, tree, dict(family=family, variant="tiny", labels=[], mean=model.mean, std=model.std))
  return path


@functools.cache
def trunk(family: str) -> tuple[Any, dict[str, np.ndarray]]:
  """A family's tiny variant for clips of 8 x 56 x 56, and the arrays of its trunk."""
  model = models.make(family, variant="tiny", num_classes=2)
  arrays = {k: x for tree in drawn.variables(model, jnp.zeros((1, 8, 56, 56, 3)), seed=7).values()
            for k, x in trees.flatten(tree).items()}
  return model, {k: x for k, x in arrays.items() if not k.startswith("head/")}


def make_config(csv: Path, folder: Path, **updates: Any) -> ConfigDict:
  """The config of `write_config_file`; its features lie in `folder`."""
  folder.mkdir(parents=True, exist_ok=True)
  return configs.load(str(write_config_file(folder / "tiny.py", csv, **updates)))


def stages_of(config: ConfigDict, tasks: tuple[Task, ...]) -> tuple[stages.Stage, ...]:
  """What a run of 100 steps would train; of the model only shapes are made."""
  model = startup.make_model(config, tasks)
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros(startup.input_shape(config), np.float32))
  params, stats = (trees.flatten(shapes.get(kind, {})) for kind in ("params", "batch_stats"))
  return stages.make(config, model, params, stats, 100)


def start_process(*args: str, cwd: Path) -> subprocess.Popen[str]:
  """Python with these arguments in another folder, as a user starts it; the vft under test is found from anywhere."""
  here = Path(__file__).resolve().parent.parent
  return subprocess.Popen([sys.executable, *args], cwd=cwd, env={**os.environ, "PYTHONPATH": str(here)},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
