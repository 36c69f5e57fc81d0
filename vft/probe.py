"""vft probe: a grid of heads trained at once on kept features and chosen on validation; the chosen one is tested."""
import dataclasses
import json
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import (
  batches,
  controls,
  evaluate,
  features,
  grid,
  grid_report,
  head_file,
  hooks,
  optim,
  predict,
  report,
  results,
  sharding,
  startup,
  tables,
)
from vft import config as configs
from vft import workdir as workdirs
from vft.data import sequences, skipped, sources
from vft.data.manifest import Manifest
from vft.errors import ConfigError, RunError
from vft.hooks import Stop, Tick
from vft.progress import Clock
from vft.writer import Writer


@dataclasses.dataclass(frozen=True)
class Shape:
  """A kind of head of the grid: its config, model, features of held-out clips, and its points."""
  config: ConfigDict
  begin: startup.Start
  unseen: features.Features
  points: list[grid.Point]
  skipped: int  # clips that could not be decoded


def probe(config: ConfigDict, folder: Path, stop: Stop = lambda: None, flags: Sequence[str] = ()) -> dict[str, Any]:
  """Trains the grid of config.probe, tests the chosen head and returns what result.json holds.

  The same call on a finished folder prints its tables; on an unfinished one it trains again, on kept features. `flags`
  are those of the command, for the next one. Raises errors.VftError.

  >>> result = probe(config, folder / "probe")
  Test ...
  >>> sorted(result["probe"]["chosen"])
  ['epoch', 'head', 'lr', 'seed', 'wd']
  """
  check(config)
  with workdirs.locked(folder):
    workdirs.settle_config(folder, config, kind="probe")
    path = folder / "result.json"
    result = json.loads(path.read_text()) if path.is_file() else _probe(config, folder, Clock(), stop)
  tables.print_results(result)
  grid_report.print_table(pd.read_csv(folder / "probe.csv", dtype={"epoch": "Int64"}))
  print(_next(config, folder, result["probe"]["chosen"]["head"], flags))
  return result


def check(config: ConfigDict) -> None:
  """Raises ConfigError where the grid, or one of its heads, cannot be trained."""
  if config.data.folds:
    raise ConfigError(f"config.data.folds is {config.data.folds}, but a probe is chosen on one validation split: set "
                      "it to 0.")
  if not config.features.cache:
    raise ConfigError("config.features.cache is False, but a probe trains on kept features: set it to True.")
  if config.optim.name == "adam" and any(config.probe.wd):
    raise ConfigError(f"config.probe.wd is {config.probe.wd}, but adam has no decoupled decay: use "
                      "--config.optim.name=adamw, or --config.probe.wd='(0.0,)'.")
  for head in config.probe.heads or (config.model.head,):
    configs.check(make_config(config, head))
  sources.check_kind(config.data.source)
  sharding.check_batch(config.train.batch, config.train.accum)


def make_config(config: ConfigDict, head: str, point: grid.Point | None = None) -> ConfigDict:
  """The config of a run with this head, whose trunk is frozen whatever config.rules say.

  Rate, decay and seed are those of `point`; the schedule is that of the group that the head is in.
  """
  one = config.copy_and_resolve_references()
  name = f"head/{next(iter(config.tasks), 'label')}/kernel"
  group = next((group for pattern, group in config.rules if re.fullmatch(pattern, name)), "")
  here = {**config.optim.group.to_dict(), **(config.groups[group].to_dict() if group else {}), "train": True}
  if point:
    here.update(lr=point.lr, wd=point.wd)
    one.seed = point.seed
  one.groups = {"head": {**here, "wd": here["wd"] if point else 0.0}, "trunk": {"train": False}}
  one.rules = (("head/.*", "head"), (".*", "trunk"))
  one.model.update(head=head, bn="stored")
  one.init.from_probe, one.controls, one.train.stages = "", (), ()
  one.lora.rank = 0  # what it adds is zero until it has trained
  return one


def _probe(config: ConfigDict, folder: Path, clock: Clock, stop: Stop) -> dict[str, Any]:
  workdirs.write_json(folder / "env.json", workdirs.environment())
  with clock("manifest"):
    manifest = sequences.make(workdirs.load_manifest(config, folder), config)
  mesh, steps_per_epoch = sharding.make_mesh(), max(manifest.count("train") // config.train.batch, 1)
  steps = config.train.epochs * steps_per_epoch
  optim.check_warmup(make_config(config, config.model.head), steps)
  hooks.check_select(evaluate.values(controls.majority(manifest, "val"), manifest, config), config.train.select)
  with Writer(folder, tensorboard=False, progress=config.log.progress) as writer:
    shapes = [_train(make_config(config, head), manifest, folder, mesh, writer, clock, stop)
              for head in config.probe.heads or (config.model.head,)]
    points = [point for shape in shapes for point in shape.points]
    chosen = grid.choose(points)
    if chosen is None:
      raise RunError(f"None of the {len(points)} heads had a finite loss and gradient at all steps.\n"
                     "Lower the rates (--config.probe.lr=...), or look for broken pixels: vft check")
    writer.truncate(-1)  # of an earlier start
    for figures in chosen.curve:
      writer.write(figures["step"], "val", {k: v for k, v in figures.items() if k != "step"})
  with clock("eval"):
    table = grid_report.make_table(points, chosen, manifest, config, steps_per_epoch)
  table.to_csv(folder / "probe.csv", index=False, float_format="%.9g")
  grid_report.draw(table, folder / "probe.png")
  shape = next(shape for shape in shapes if any(p is chosen for p in shape.points))
  found = _keep(shape, chosen, steps, manifest, folder, mesh, clock)
  facts = {"steps": steps, "best_step": chosen.step, "skipped": shape.skipped,
           "trained_parameters": sum(x.size for x in chosen.params.values())}
  said = {**{k: getattr(chosen, k) for k in grid_report.POINT}, "epoch": chosen.step // steps_per_epoch}
  result = results.write(found, manifest, shape.config, folder, clock, facts, controls={}, probe={
      "points": len(points), "not_finite": sum(p.bad is not None for p in points), "chosen": said})
  report.at_the_end(config, folder)
  return result


def _train(config: ConfigDict, manifest: Manifest, folder: Path, mesh: jax.sharding.Mesh, writer: Writer, clock: Clock,
           stop: Stop) -> Shape:
  """The points of one kind of head."""
  with clock("start"):
    begin = startup.start(config, manifest.tasks, lambda: batches.startup_clips(config, manifest))
    print(begin.summary, file=sys.stderr)
  with clock("features"):
    seen, unseen = batches.compute_features(config, manifest, begin.model, begin.params, begin.batch_stats, folder,
                                            mesh, partial(Tick, writer, stop))
    count = skipped.write_skipped(manifest.shown, seen.failed | unseen.failed, folder / "skipped.csv", config)
  with clock("grid"):
    seeds = range(config.seed, config.seed + config.probe.seeds)
    heads = {seed: startup.head_values(begin, config, seed) for seed in seeds}
    material, since = make_material(config, manifest, seen, unseen, seeds), clock.total_s
    points = grid.train_heads(config, manifest, begin.model, heads, material, stop)
    print(f"{len(points)} heads ({config.model.head}) trained in {clock.total_s - since:.1f} s", file=sys.stderr)
  return Shape(config, begin, unseen, points, count)


def make_material(config: ConfigDict, manifest: Manifest, seen: features.Features, unseen: features.Features,
                  seeds: Sequence[int]) -> grid.Material:
  """The features as arrays on the device, and in which order each seed sees them: that of a run with this seed."""
  kind, size = batches.kept_as(manifest), config.train.batch
  steps = max(manifest.count("train") // size, 1) * config.train.epochs
  samples = {}
  for seed in seeds:
    one = config.copy_and_resolve_references()
    one.seed = seed
    sample = kind.train_samples(manifest, one)
    samples[seed] = [sample(g) for g in range(steps * size)]
  every = sorted({s for of_seed in samples.values() for s in of_seed})
  place = {sample: i for i, sample in enumerate(every)}
  orders = {seed: np.array([place[s] for s in of_seed], np.int32).reshape(steps, size)
            for seed, of_seed in samples.items()}
  # Sequences of several batches differ in length: all of them are one.
  val = list(kind.eval_batches(unseen, manifest, "val", size if manifest.unit == "clip" else manifest.count("val")))
  return grid.Material(jax.tree.map(jnp.asarray, kind.train_batch(seen, manifest, every)), orders,
                       jax.tree.map(lambda *x: jnp.stack(x), *val))


def _keep(shape: Shape, chosen: grid.Point, steps: int, manifest: Manifest, folder: Path, mesh: jax.sharding.Mesh,
          clock: Clock) -> Mapping[str, evaluate.Predictions]:
  """Makes the folder that of a run with the chosen head; returns what this says of validation and, once, of test."""
  config = make_config(shape.config, chosen.head, chosen)
  with clock("save"):
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)  # of an earlier start
    made = startup.ready(shape.begin, config, manifest.tasks, manifest.sha256, folder, mesh, steps)
    (folder / "params.txt").write_text(tables.print_groups(made.table, file=sys.stderr))
    workdirs.write_json(folder / "weights.json", made.report)
    head = jax.device_put(chosen.params, sharding.replicated(mesh))
    # Nobody goes on from here: the optimiser is saved as it starts.
    state = dataclasses.replace(made.state, step=jnp.asarray(chosen.step), params={**made.state.params, **head},
                                ema=head if made.state.ema else {})
    made.saver.save(state, chosen.score)
    made.saver.store.close()
    begin = shape.begin
    about = head_file.identity(begin.model, manifest.tasks, begin.params, begin.batch_stats, manifest.sha256)
    head_file.save(folder, chosen.params, about, {**{k: getattr(chosen, k) for k in grid_report.POINT},
                                                  "weights": config.init.weights})
    workdirs.write_config(folder / "config.json", config)
  kind, found = batches.kept_as(manifest), {}
  for split in ("val", "test"):
    with clock("eval"):
      found[split] = evaluate.predict(made.model, state.params, state.batch_stats, made.pixels, manifest.tasks,
                                      kind.eval_batches(shape.unseen, manifest, split, config.train.batch), mesh,
                                      config.eval.chunk)
    predict.write_predictions(folder / f"predictions_{split}.csv", found[split], manifest)
  return found


def _next(config: ConfigDict, folder: Path, head: str, flags: Sequence[str]) -> str:
  """Where things lie, and what to type next."""
  kept = [f for f in flags if f.startswith("--config") and not f.startswith("--config.probe.")]
  kept += [f"--config.model.head={head}"] if head != config.model.head else []
  trains = {group for pattern, group in config.rules if {**config.optim.group, **config.groups[group]}["train"]
            and not re.fullmatch(pattern, "head/label/kernel")}
  command = shlex.join(["vft", "train", *kept, f"--config.init.from_probe={folder}"])
  return (f"\nAll points: {folder}/probe.csv, {folder}/probe.png\nLabels of videos: vft predict {folder} VIDEO\n"
          f"A full fine-tune from this head:\n  {command}" + (
              "" if trains else "\nIts rules train the head alone: add blocks, as configs/medical_finetune.py does."))
