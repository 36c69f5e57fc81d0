"""The table of contents of a training run: read it from top to bottom."""
import contextlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
from ml_collections import ConfigDict

from vft import (
  batches,
  controls,
  distributed,
  evaluate,
  folds,
  forward,
  goodput,
  hooks,
  hosts,
  hparams,
  memory,
  objective,
  optim,
  predict,
  report,
  results,
  sharding,
  stages,
  startup,
  tables,
  train,
)
from vft import config as configs
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences, skipped, sources
from vft.data.augment import mix
from vft.hooks import Stop
from vft.progress import Clock
from vft.writer import Writer


@dataclass(frozen=True)
class Outcome:
  """What the best checkpoint of a run says of validation and test, and what it took."""
  val: evaluate.Predictions
  test: evaluate.Predictions
  facts: dict[str, Any]


def run(config: ConfigDict, folder: Path, stop: Stop = lambda: None) -> dict[str, Any]:
  """Trains, evaluates and compares with the controls; returns what result.json holds.

  The same call on a finished folder prints its table; on an unfinished one it goes on. Raises errors.VftError.

  >>> result = run(config, folder / "run")
  Test ...
  >>> sorted(result["test"]["patient"]["accuracy"])
  ['high', 'low', 'n', 'value']
  """
  check(config)
  with memory.explained(config), hosts.folder_of(folder) as here:
    result = finish(config, here, stop)
  if distributed.first():
    tables.print_results(result)
  return result


def check(config: ConfigDict) -> None:
  """Raises ConfigError for what no run can work with, before anything is opened."""
  configs.check(config)
  sources.check_kind(config.data.source)
  sharding.check_batch(config.train.batch, config.train.accum)
  hosts.check(config)


def finish(config: ConfigDict, folder: Path, stop: Stop) -> dict[str, Any]:
  """The result of a folder, not printed: read where it is finished, else of one run, or of one for each fold."""
  with contextlib.ExitStack() as lock:
    distributed.by_first(lambda: lock.enter_context(workdirs.locked(folder)))
    distributed.by_first(lambda: workdirs.settle_config(folder, config))
    if result := hosts.finished(folder):
      return result
    if config.data.folds:
      result = folds.cross_validate(config, folder, partial(finish, stop=stop))
    else:
      result = _run(config, folder, Clock(), stop)
    report.at_the_end(config, folder)
    return result


def _run(config: ConfigDict, folder: Path, clock: Clock, stop: Stop) -> dict[str, Any]:
  workdirs.settle_environment(folder)
  sessions = goodput.Sessions(folder)
  with clock("manifest"):
    manifest = sequences.make(hosts.make_manifest(config, folder), config)
  main = fine_tune(config, manifest, folder, clock, stop, sessions)
  for split in ("val", "test"):
    predict.write_predictions(folder / f"predictions_{split}.csv", getattr(main, split), manifest)
  compared = {}
  for name in config.controls:
    print(f"\nControl: {name.replace('_', ' ')}", file=sys.stderr)
    other = {split: controls.majority(manifest, split) for split in ("val", "test")} if name == "majority" else vars(
        fine_tune(controls.make_config(config, name), manifest, folder / "controls" / name, clock, stop,
                  sessions))
    predict.write_predictions(folder / "controls" / name / "predictions_test.csv", other["test"], manifest)
    with clock("eval"):
      compared[name] = {**evaluate.figures(other["test"], manifest, config),
                        "difference": evaluate.differences(main.test, other["test"], manifest, config)}
  found = {"val": main.val, "test": main.test}
  result = results.write(found, manifest, config, folder, clock,
                         {**main.facts, "goodput": sessions.summary(clock.seconds, clock.total_s)}, controls=compared)
  with Writer(folder, tensorboard=config.log.tensorboard and distributed.first(), progress=False) as writer:
    writer.finished(main.facts["best_step"], hparams.of_result(result))
  return result


def fine_tune(config: ConfigDict, manifest: manifests.Manifest, folder: Path, clock: Clock, stop: Stop,
              sessions: goodput.Sessions) -> Outcome:
  """One model: start, groups; by stages features or batches, and steps; best checkpoint, predictions."""
  folder.mkdir(parents=True, exist_ok=True)
  mesh = sharding.make_mesh(config.mesh.fsdp)
  steps_per_epoch = max(manifest.count("train") // config.train.batch, 1)
  until = config.train.epochs * steps_per_epoch
  optim.check_warmup(config, until)
  hooks.check_select(evaluate.values(controls.majority(manifest, "val"), manifest, config), config.train.select)

  # First values, what trains, and the newest valid checkpoint: fixed before the first step.
  with clock("start"):
    begin = startup.prepare(config, manifest.tasks, manifest.sha256, folder, mesh, until,
                            partial(batches.startup_clips, config, manifest))
    model, pixels, state, saver = begin.model, begin.pixels, begin.state, begin.saver
    saver.check_room(state)
    saver.after = lambda step: sessions.note(clock.seconds, clock.total_s, step)
    (folder / "params.txt").write_text(tables.print_groups(begin.table, file=sys.stderr))
    print(begin.summary, file=sys.stderr)
    workdirs.write_json(folder / "weights.json", begin.report)
  def finished() -> bool:
    return hooks.waited(saver.scores, config.train.patience)

  lead = distributed.first()
  with Writer(folder, tensorboard=config.log.tensorboard and lead, progress=config.log.progress and lead,
              total_steps=until) as writer:
    writer.started(hparams.of_config(config))
    writer.truncate(int(state.step))
    writer.images(0, "first_clips", batches.first_clips(config, manifest, pixels))
    clips: Any = None
    failed: set[int] = set()
    forecast_gib = 0.0
    left_out = skipped.Skipped(manifest.shown, failed, folder / "skipped.csv", config)
    log, names = hooks.LogHook(writer, clock, config), {t.name: t.classes for t in manifest.tasks}

    # Stages: from one to the next more groups train. Mostly there is one.
    for stage in stages.left(begin.stages, int(state.step), finished()):
      state = stages.enter(stage, state, mesh, config.mesh.whole)
      clips = batches.make_batches(config, manifest, begin, stage, state, failed, folder, mesh, writer, clock, stop)
      left_out.update()

      # Steps. Hooks run in this order: a state is evaluated before it is saved, and saved before the run may stop.
      validate = evaluate.make_evaluator(model, pixels, partial(clips.held_out, "val"), manifest, config, mesh)
      after = (log, hooks.EvalHook(writer, clock, config, validate, saver, until, steps_per_epoch, names),
               lambda step, *_: left_out.update(), hooks.StopHook(stop, saver))
      step = memory.Ahead(_step_maker(config, manifest, stage, pixels, mesh), stage.model, config)
      with contextlib.closing(clips.train):  # ends the decoding processes
        state = train.fit(state, clips.train, step=step, until=stage.until, mesh=mesh, clock=clock, hooks=after,
                          finished=finished,
                          ids=lambda rows: manifest.table.id.iloc[rows].tolist())
      forecast_gib = max(forecast_gib, step.gib)
      if finished():
        break
    done = int(state.step)
    stopped = done if finished() and done < until else None

    # The best checkpoint by validation is looked at once more, and at the test split for the first time.
    with clock("eval"):
      best = sharding.put(saver.restore(state, saver.store.best()), mesh, config.mesh.whole)
      val, test = (evaluate.predict(model, best.best_params, best.batch_stats, pixels, manifest.tasks,
                                    clips.held_out(split), mesh, config.eval.chunk)
                   for split in ("val", "test"))
    hosts.together(failed)
    left_out.update()
  saver.store.close()
  return Outcome(val, test, {"steps": done, "stopped_early_at": stopped, "best_step": int(best.step),
                             "skipped": left_out.count, "step_memory_gib": forecast_gib,
                             "trained_parameters": sum(r["parameters"] for r in begin.table if r["train"])})


def _step_maker(config: ConfigDict, manifest: manifests.Manifest, stage: stages.Stage,
                pixels: forward.Pixels, mesh: jax.sharding.Mesh) -> Callable[[Any, int], Callable[..., Any]]:
  """(model, accum) -> the step of a stage."""
  loss = objective.make_loss(config, manifest.tasks, manifest.labels(manifest.rows("train")))
  lone = len(manifest.tasks) == 1 and manifest.tasks[0].kind == "single" and manifest.unit != "video"
  def make(model: Any, accum: int) -> Callable[..., Any]:
    run_model = partial(forward.logits, model, pixels=pixels, train=True, train_trunk=bool(stage.blocks))
    return train.make_train_step(run_model, loss, stage.tx, stage.trained, accum=accum, seed=config.seed,
                                 accuracy_of=manifest.tasks[0].name if lone else "", ema=config.train.ema,
                                 mirror=objective.make_mirror(config, manifest.tasks),
                                 mixing=mix.make(config.augment), size=config.data.size, mesh=mesh)
  return make
