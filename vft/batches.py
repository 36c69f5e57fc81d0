"""What a run is fed with: clips or cached features, endless for training, in order for what is held out."""
import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
from ml_collections import ConfigDict

from vft import distributed, features, forward, sequences, sharding, startup
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import pipeline, skipped
from vft.data.sequences import Sequences
from vft.hooks import Stop, Tick, montage
from vft.progress import Clock
from vft.stages import Stage
from vft.train import TrainState
from vft.writer import Writer


@dataclass(frozen=True)
class Batches:
  """Endless training batches, and those of a split held out."""
  train: Any
  held_out: Callable[[str], Iterator[dict[str, Any]]]


def make_batches(config: ConfigDict, manifest: manifests.Manifest, begin: startup.Prepared, stage: Stage,
                 state: TrainState, failed: set[int], folder: Path, mesh: jax.sharding.Mesh, writer: Writer,
                 clock: Clock, stop: Stop) -> Batches:
  """Where only the head trains, the trunk runs once over every clip; else each epoch reads clips: decoded or cached.

  They are for the stage of a run that `state` has reached. Rows that cannot be decoded are added to `failed`.

  Raises ConfigError where sequences are asked for and the trunk trains, or a cache of decoded clips would not fit.
  """
  size, start_step, views = config.train.batch, int(state.step), config.eval.views
  if isinstance(manifest, Sequences):
    sequences.check(config, begin.blocks)
  if stage.blocks or not config.features.cache:
    cache = pipeline.open_cache(manifest, config)
    batches = pipeline.train_batches(manifest, config, batch=size, start_step=start_step, cache=cache,
                                     process=sharding.process())
    return Batches(skipped.watch(batches, failed), lambda split: skipped.watch(pipeline.eval_batches(
        manifest, config, manifest.rows(split), batch=size, views=views, crops=config.eval.crops, cache=cache,
        process=sharding.process()), failed))
  with clock("features"):
    seen, unseen = compute_features(config, manifest, begin.model, state.params, state.batch_stats, folder, mesh,
                                    partial(Tick, writer, stop))
  failed |= seen.failed | unseen.failed
  kind: Any = kept_as(manifest)
  return Batches(_shares(kind.train_batches(seen, manifest, config, start_step=start_step)),
                 lambda split: _shares(kind.eval_batches(unseen, manifest, split, size)))


def _shares(batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
  """This process's part of each batch; features are in the memory of all."""
  with contextlib.closing(batches):  # pyright: ignore[reportArgumentType]
    yield from map(distributed.share, batches)


def kept_as(manifest: manifests.Manifest) -> Any:
  """The module that makes batches of kept features: train_samples, train_batch, train_batches, eval_batches."""
  return sequences if isinstance(manifest, Sequences) else features


def compute_features(config: ConfigDict, manifest: manifests.Manifest, model: Any, params: Mapping[str, Any],
                     batch_stats: Mapping[str, Any], folder: Path, mesh: jax.sharding.Mesh,
                     tick: Callable[[], Callable[[int, int], None]],
                     share: Callable[[Any], Any] = lambda rows: rows) -> tuple[features.Features, features.Features]:
  """Of the training clips and of those held out, by one pass of the trunk where they are not on the disk yet.

  `tick` makes the progress of a pass, as features.compute takes it; `share` picks some of its rows.
  """
  compute = partial(features.compute, model, params, batch_stats, manifest.shown, config, mesh=mesh)
  seen = compute(share(manifest.clip_rows("train")), views=1, train=True, tick=tick())
  held_out = np.sort(np.concatenate([manifest.clip_rows("val"), manifest.clip_rows("test")]))
  unseen = compute(share(held_out), views=config.eval.views, train=False, tick=tick())
  workdirs.write_json(folder / "features.json", features.summary(seen, unseen))
  return seen, unseen


def startup_clips(config: ConfigDict, manifest: manifests.Manifest, count: int = 0) -> Iterator[dict[str, Any]]:
  """The first training clips in their shuffled order, `count` or config.init.stats_clips of them, not augmented."""
  manifest, rows = manifest.shown, manifest.clip_rows("train")
  order = pipeline.Order(len(rows), config.seed)
  chosen = rows[np.array([order[i] for i in range(min(count or config.init.stats_clips, len(rows)))])]
  here = config.copy_and_resolve_references()
  here.data.workers = 0  # too few clips for processes of their own
  return pipeline.eval_batches(manifest, here, chosen, batch=min(8, len(chosen)), views=1)


def first_clips(config: ConfigDict, manifest: manifests.Manifest, pixels: forward.Pixels) -> np.ndarray:
  """Four frames each of the first training clips as the model sees them, augmented where the run augments."""
  batch = next(iter(startup_clips(config, manifest, count=8)))
  plain = pixels._replace(mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
  video = jax.jit(forward.inputs, static_argnames=("pixels", "train"))(
      {k: batch[k] for k in ("video", "row", "copy")}, plain, True)
  return montage(np.asarray(video))
