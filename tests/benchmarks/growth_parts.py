"""What grows, one size in one process: python -m tests.benchmarks.growth_parts NAME SIZE FOLDER prints a JSON line."""
import json
import os
import resource
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from configs import default
from tests.clips import write_clip
from tests.tiny_net import TinyNet
from vft import config as configs
from vft import evaluate, features, forward, models, objective, optim, run, sharding, stats, train, trees
from vft import workdir as workdirs
from vft.check import command as check
from vft.data import manifest as manifests
from vft.data import pipeline
from vft.progress import Clock
from vft.tasks import Task

EPOCHS = 5  # of the head
VIDEOS = 1000  # of classes
ROUNDS = 2  # the least time counts


def seconds() -> float:
  """Processor time of this process and of those that it started and that have ended."""
  used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
  return sum(u.ru_utime + u.ru_stime for u in used)


class Timer:
  """{"manifest, s": seconds of processor time, ...}."""

  def __init__(self):
    self.seconds: dict[str, float] = {}

  @contextmanager
  def __call__(self, what: str) -> Iterator[None]:
    start = seconds()
    yield
    self.seconds[f"{what}, s"] = seconds() - start


def least(f: Callable[[], object], rounds: int = ROUNDS) -> float:
  """Processor seconds of the quickest of some calls, after one that is not counted."""
  jax.block_until_ready(f())
  found = []
  for _ in range(rounds):
    start = seconds()
    jax.block_until_ready(f())
    found.append(seconds() - start)
  return min(found)


def write_videos(folder: Path, count: int) -> Path:
  """Clips of 12 frames of 32 x 32 pixels, two a patient, two classes; those that are there stay. Returns their CSV."""
  rng, rows = np.random.default_rng(0), ["path,label,group"]
  folder.mkdir(parents=True, exist_ok=True)
  for i in range(count):
    video = rng.integers(0, 256, (12, 4, 4, 3), np.uint8).repeat(8, 1).repeat(8, 2)
    if not (folder / f"{i}.mp4").exists():
      write_clip(folder / f"{i}.mp4", video, fps=12, crf=23)
    rows.append(f"{i}.mp4,{'ab'[i // 2 % 2]},p{i // 2}")
  (folder / f"{count}.csv").write_text("\n".join(rows) + "\n")
  return folder / f"{count}.csv"


def tiny_config(csv: Path, folder: Path):
  """A head on a trunk of two convolutions, on clips of 8 frames of 32 x 32 pixels."""
  c = default.get_config()
  c.data.update(source=f"csv:{csv}", num_frames=8, fps=12.0, resize=32, size=32)
  c.model.update(name="tiny_net")
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-2))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=EPOCHS, eval_every=EPOCHS)
  c.features.dir = str(folder / "features")
  c.log.update(tensorboard=False, progress=False)
  c.controls = ()
  return c


def clips(count: int, folder: Path) -> dict[str, float]:
  """check, manifest, features (decoding and a tiny trunk, then all from disk), 5 epochs of the head, figures."""
  csv, timer = write_videos(folder / "videos", count), Timer()
  models.FAMILIES["tiny_net"] = TinyNet
  with tempfile.TemporaryDirectory() as name:
    place = Path(name)
    os.environ["HOME"] = name  # nothing is known of these files from before
    config = tiny_config(csv, place)
    configs.check(config)
    with timer("check"):
      check.check(config, place / "check")
    with timer("manifest"):
      manifest = workdirs.load_manifest(config, place)
    variables = jax.jit(TinyNet().init)(jax.random.key(0), jnp.zeros((1, 8, 32, 32, 3)))
    params, statistics = (trees.flatten(jax.tree.map(np.asarray, variables[k])) for k in ("params", "batch_stats"))
    compute = partial(features.compute, TinyNet(), params, statistics, manifest, config, views=1, train=False,
                      mesh=sharding.make_mesh(), tick=lambda done, todo: None)
    rows = np.arange(len(manifest.table))
    compute(rows=rows[:config.features.batch])  # compiles
    with timer("features"):
      compute(rows=rows)
    with timer("features from disk"):
      compute(rows=rows)
    clock = Clock(seconds)
    with timer("whole run on features"):
      main = run.fine_tune(config, manifest, place / "run", clock, lambda: None)
    for cause in ("features", "data", "step", "eval"):
      timer.seconds[f"- {cause}, s"] = clock.seconds[cause]
    with timer("figures, 2000 resamples"):
      evaluate.figures(main.test, manifest, config)
  return timer.seconds


def step(frames: int, size: int) -> dict[str, float]:
  """A step of VideoMAE-S on one clip: seconds, FLOPs counted as DESIGN says, MiB of the compiled step's own values."""
  config = default.get_config()
  config.data.update(num_frames=frames, size=size, resize=size)
  model = models.make("videomae", variant="S/16x2", num_classes=3)
  shapes = jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, frames, size, size, 3)))
  rng = np.random.default_rng(0)
  params = {k: rng.normal(0, 0.02, x.shape).astype(np.float32) for k, x in trees.flatten(shapes["params"]).items()}
  tx, mesh, pixels = optax.sgd(1e-3), sharding.make_mesh(), forward.make_pixels(config, model)
  loss = objective.make_loss(config, (Task(classes=("a", "b", "c")),), {"label": np.arange(3)})
  run_model = partial(forward.logits, model, pixels=pixels, train=True, train_trunk=True)
  one: Any = train.make_train_step(run_model, loss, tx, frozenset(params))
  batch = {"video": rng.integers(0, 256, (1, 1, frames, size, size, 3), np.uint8), "label": {"label": np.zeros(1, int)},
           "row": np.zeros(1, np.int32), "copy": np.zeros(1, np.int32), "mask": np.ones(1, bool)}
  batch, state = sharding.put_batch(batch, mesh), train.make_state(params, {}, tx, mesh)
  traced = one.trace(state, batch)
  counted: Any = traced.lower(lowering_platforms=("tpu",)).cost_analysis()
  compiled = traced.lower().compile()
  memory: Any = compiled.memory_analysis()

  def again() -> Any:
    nonlocal state
    state, *_ = compiled(state, batch)
    return state.params
  return {"training step, s": least(again), "GFLOP": counted["flops"] / 1e9,
          "intermediate values, MiB": memory.temp_size_in_bytes / 2**20}


def frames(count: int, folder: Path) -> dict[str, float]:
  """A training step of VideoMAE-S, one clip of 112 x 112 pixels; 24.5 tokens a frame."""
  return step(count, 112)


def resolution(size: int, folder: Path) -> dict[str, float]:
  """A training step of VideoMAE-S, one clip of 16 frames; tokens go with the square of the side."""
  return step(16, size)


def classes(count: int, folder: Path) -> dict[str, float]:
  """A step of a linear head on 32 features of 1024, and the figures of 1000 videos."""
  config, rng = default.get_config(), np.random.default_rng(0)
  names = tuple(f"c{i:04}" for i in range(count))
  model, mesh = models.make("i3d", num_classes=count), sharding.make_mesh()
  params = {"head/label/kernel": rng.normal(0, 0.02, (1024, count)).astype(np.float32),
            "head/label/bias": np.zeros(count, np.float32)}
  config.groups = dict(head=dict(train=True))
  tx = optim.make_optimizer(config, {k: "head" for k in params}, 100)
  loss = objective.make_loss(config, (Task(classes=names),), {"label": np.arange(count)})
  one = train.make_train_step(partial(forward.logits, model, pixels=forward.make_pixels(config, model), train=True),
                              loss, tx, frozenset(params))
  batch = sharding.put_batch({"tokens": rng.normal(size=(32, 1, 1, 1024)).astype(np.float32),
                              "label": {"label": rng.integers(count, size=32)}, "row": np.arange(32, dtype=np.int32),
                              "copy": np.zeros(32, np.int32), "mask": np.ones(32, bool)}, mesh)
  state = train.make_state(params, {}, tx, mesh)

  def again() -> Any:
    nonlocal state
    state, *_ = one(state, batch)
    return state.params
  found = {"head step, s": least(again, 20)}
  labels = np.arange(VIDEOS) % count
  outputs = rng.dirichlet(np.ones(count), VIDEOS)
  for what, resamples in (("figures, one set, s", 1), ("figures, 200 resamples, s", 200)):
    found[what] = least(lambda n=resamples: stats.figures(labels, outputs, np.arange(VIDEOS), classes=names, n=n), 1)
  return found


def views(count: int, folder: Path) -> dict[str, float]:
  """Evaluation of 64 tiny videos, decoded: all views at once, and one at a time (eval.chunk=1)."""
  csv = write_videos(folder / "videos", 64)
  config, mesh, model = tiny_config(csv, folder), sharding.make_mesh(), TinyNet()
  config.data.workers = 0
  manifest = manifests.make_manifest(config)
  variables = jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, 8, 32, 32, 3)))
  params, statistics = (trees.flatten(variables[k]) for k in ("params", "batch_stats"))
  rows = np.arange(64)

  def predict(chunk: int) -> Any:
    batches = pipeline.eval_batches(manifest, config, rows, batch=32, views=count)
    tasks = (Task(classes=("a", "b", "c")),)
    return evaluate.predict(model, params, statistics, forward.make_pixels(config, model), tasks, batches, mesh,
                            chunk).outputs
  return {"evaluation, s": least(partial(predict, 0)), "evaluation, chunk=1, s": least(partial(predict, 1))}


PARTS = {"clips": clips, "frames": frames, "resolution": resolution, "classes": classes, "views": views}


def main() -> None:
  name, size, folder = sys.argv[1:]
  def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
  jax.devices()
  before = peak()
  found = PARTS[name](int(size), Path(folder))
  print(json.dumps({**found, "resident peak, MiB": peak() - before}))


if __name__ == "__main__":
  main()
