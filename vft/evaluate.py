"""Validation and test: logits of every clip -> views -> videos -> patients -> figures with intervals."""
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from vft import calibration, forward, metrics, objective, sharding, stats, tasks
from vft.data.manifest import Manifest
from vft.tasks import Task, median

Level = tuple[np.ndarray, np.ndarray, np.ndarray]  # outputs, labels and groups
Procedure = tuple[np.ndarray, np.ndarray]  # labels and predicted (S,)


@dataclass(frozen=True)
class Predictions:
  """Outputs of videos: rows (n,) of the manifest and {task: (n, K)}, the mean over views of objective.values."""
  rows: np.ndarray
  outputs: dict[str, np.ndarray]

  def of(self, rows: np.ndarray) -> "Predictions":
    """Those of some of the rows."""
    keep = np.isin(self.rows, rows)
    return Predictions(self.rows[keep], {task: x[keep] for task, x in self.outputs.items()})


def together(parts: Sequence[Predictions]) -> Predictions:
  """Those of disjoint rows, such as of folds, in the order of the rows."""
  rows = np.concatenate([p.rows for p in parts])
  order = np.argsort(rows)
  return Predictions(rows[order], {task: np.concatenate([p.outputs[task] for p in parts])[order]
                                   for task in parts[0].outputs})


@partial(jax.jit, static_argnames=("model", "pixels", "tasks", "mesh"))
def view_sums(model: Any, params: Any, batch_stats: Any, batch: Any, pixels: forward.Pixels,
              tasks: tuple[Task, ...], mesh: jax.sharding.Mesh | None = None) -> dict[str, jax.Array]:
  """{task: (B, K)}, of moments (B, S, K): objective.values, summed over the views of a batch."""
  logits, _ = forward.logits(model, sharding.gathered(params, mesh), batch_stats, batch, pixels)
  return {t.name: objective.values(t, logits[t.name]).sum(axis=1) for t in tasks}


def predict(model: Any, params: Mapping[str, Any], batch_stats: Mapping[str, Any], pixels: forward.Pixels,
            tasks: tuple[Task, ...], batches: Iterable[Mapping[str, Any]], mesh: jax.sharding.Mesh,
            chunk: int = 0) -> Predictions:
  """Runs the model over batches; padding and undecodable clips are dropped, rows come sorted.

  `chunk`: views of a clip per forward pass, 0 = all of them.
  """
  rows, found = [np.zeros(0, np.int32)], {t.name: [] for t in tasks}
  for batch in itertools.chain.from_iterable(map(forward.clip_parts, batches)):
    views = batch["tokens" if "tokens" in batch else "video"].shape[1]
    parts = [view_sums(model, params, batch_stats, sharding.put_batch(part, mesh), pixels, tasks, mesh)
             for part in forward.view_chunks(batch, chunk)]
    out = {t.name: sum(part[t.name] for part in parts) / views for t in tasks}
    marks = sharding.put_batch({k: batch[k] for k in ("row", "mask")}, mesh)
    out, row, keep = jax.tree.map(np.asarray, multihost_utils.process_allgather(
        (out, marks["row"], marks["mask"]), tiled=True))
    rows.append(row[keep])
    for task, values in out.items():
      found[task].append(values[keep])
  row = np.concatenate(rows)
  order = np.argsort(row)
  empty = {t.name: np.zeros((0, max(len(t.classes), 1)), np.float32) for t in tasks}
  return Predictions(row[order], {task: np.concatenate([empty[task], *parts])[order] for task, parts in found.items()})


def levels(predictions: Predictions, manifest: Manifest, task: Task) -> dict[str, Level]:
  """{"video": (outputs, labels, groups), "patient": ...}; no patient level where a patient's rows have two labels.

  A row is a video, a moment of one, or (no other level then) a patient. {} where none of the rows has a label.
  """
  labels, groups = manifest.labels(predictions.rows)[task.name], manifest.groups(predictions.rows)
  outputs = predictions.outputs[task.name]
  if len(labels) and not tasks.known(task, labels).any():
    return {}
  found = {manifest.level: (outputs, labels, groups)}
  several = manifest.unit == "clip" and manifest.grouped_by == "patient"
  pooled = metrics.pool(outputs, labels, groups) if several else None
  return found if pooled is None else {**found, "patient": pooled}


def _by_level(manifest: Manifest, measure: Callable[[Task], dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
  """{level: {metric: ...}} of all tasks; with several a metric is called "task/metric"."""
  out: dict[str, dict[str, Any]] = {}
  for task in manifest.tasks:
    prefix = f"{task.name}/" if len(manifest.tasks) > 1 else ""
    for level, found in measure(task).items():
      out.setdefault(level, {}).update({prefix + name: value for name, value in found.items()})
  return out


def _options(task: Task, config: ConfigDict) -> dict[str, Any]:
  return dict(kind=task.kind, classes=task.classes, topk=config.eval.topk, rate=config.eval.rate)


def _phase_options(task: Task, config: ConfigDict) -> dict[str, Any]:
  s = config.sequence
  return dict(classes=task.classes, fps=s.fps, boundary_s=s.boundary_s, rule=s.boundary_rule)


def procedures(predictions: Predictions, manifest: Manifest, task: Task) -> list[tuple[Procedure, str]]:
  """((labels (S,), predicted (S,)), group) of each video of moments; [] where rows are none, or have no one label."""
  if manifest.unit != "video" or task.kind != "single":
    return []
  videos = manifest.table.video.iloc[predictions.rows].to_numpy(str)
  labels, groups = manifest.labels(predictions.rows)[task.name], manifest.groups(predictions.rows)
  guesses = predictions.outputs[task.name].argmax(axis=1)
  cuts = np.flatnonzero(videos[1:] != videos[:-1]) + 1  # the rows of a video stand together, in order of time
  parts = zip(*(np.split(x, cuts) for x in (labels, guesses, groups)), strict=True)
  return [((y, guess), str(group[0])) for y, guess, group in parts if (y >= 0).any()]


def calibrate(val: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, dict[str, Any]]:
  """{task: entry of calibration.json} of the tasks with classes, from validation alone; {} without eval.calibrate."""
  labels = manifest.labels(val.rows)
  return {t.name: calibration.fit(t.kind, labels[t.name], val.outputs[t.name], rule=config.eval.threshold,
                                  rate=config.eval.rate)
          for t in manifest.tasks if t.kind != "regression" and config.eval.calibrate}


def calibrated(predictions: Predictions, entries: Mapping[str, Mapping[str, Any]]) -> Predictions:
  """The same with calibrated probabilities, for the tasks that have an entry."""
  return Predictions(predictions.rows, {t: calibration.apply(x, entries[t]) if t in entries else x
                                        for t, x in predictions.outputs.items()})


def figures(predictions: Predictions, manifest: Manifest, config: ConfigDict,
            entries: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
  """{"video": {metric: {value, low, high, n}}, "patient": ...}, 95 % by patient bootstrap.

  With `entries` of `calibrate`: of calibrated probabilities, pooled over a patient's videos after the temperature, and
  decided at the thresholds, which were chosen on videos. Their own uncertainty is not in the intervals.
  """
  entries = entries or {}
  predictions = calibrated(predictions, entries)

  def measure(task: Task) -> dict[str, Any]:
    drawn = dict(n=config.eval.bootstrap, seed=config.seed)
    options = dict(_options(task, config),
                   thresholds=calibration.thresholds(entries[task.name]) if task.name in entries else None)
    found = {level: stats.figures(labels, outputs, groups, **drawn, **options)
             for level, (outputs, labels, groups) in levels(predictions, manifest, task).items()}
    if whole := procedures(predictions, manifest, task):
      videos, groups = zip(*whole, strict=True)
      found["video"] |= stats.phase(videos, groups, **drawn, **_phase_options(task, config))
    return found
  return _by_level(manifest, measure)


def confusion(predictions: Predictions, manifest: Manifest) -> dict[str, dict[str, list[list[int]]]]:
  """{"video": {task: counts (K, K)}, "patient": ...} of tasks with one label, rows the true class."""
  def measure(task: Task) -> dict[str, Any]:
    if task.kind not in ("single", "ordinal"):
      return {}
    found = {}
    for level, (outputs, labels, _) in levels(predictions, manifest, task).items():
      y, out = metrics.present(task.kind, labels, outputs)
      guesses = median(out) if task.kind == "ordinal" else None  # as the figures and the predictions have it
      found[level] = {task.name: metrics.confusion(y, out, guesses).tolist()}
    return found
  out: dict[str, dict[str, list[list[int]]]] = {}
  for task in manifest.tasks:
    for level, matrix in measure(task).items():
      out.setdefault(level, {}).update(matrix)
  return out


def differences(main: Predictions, other: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, Any]:
  """{"video": {metric: {value, low, high}}, ...} of main - other, paired by row and resampled together."""
  shared = np.intersect1d(main.rows, other.rows)

  def measure(task: Task) -> dict[str, Any]:
    a, b = (levels(p.of(shared), manifest, task) for p in (main, other))
    return {level: stats.bootstrap_difference(labels, outputs, b[level][0], groups, n=config.eval.bootstrap,
                                              seed=config.seed, **_options(task, config))
            for level, (outputs, labels, groups) in a.items()}
  return _by_level(manifest, measure)


def between(a: Predictions, of_a: Manifest, b: Predictions, of_b: Manifest, config: ConfigDict,
            entries: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
  """{"video": {metric: {value, low, high}}, ...} of a - b on other patients; `entries` as in `figures`."""
  entries = entries or {}
  a, b = calibrated(a, entries), calibrated(b, entries)
  drawn = dict(n=config.eval.bootstrap, seed=config.seed)

  def measure(task: Task) -> dict[str, Any]:
    ours, theirs = levels(a, of_a, task), levels(b, of_b, task)
    thresholds = calibration.thresholds(entries[task.name]) if task.name in entries else None
    def ordered(level: Level) -> Level:  # outputs, labels, groups -> as stats takes them
      return level[1], level[0], level[2]
    found = {level: stats.bootstrap_between(ordered(part), ordered(theirs[level]), thresholds=thresholds, **drawn,
                                            **_options(task, config))
             for level, part in ours.items() if level in theirs}
    one, two = procedures(a, of_a, task), procedures(b, of_b, task)
    if one and two:
      found["video"] |= stats.phase_between(one, two, **drawn, **_phase_options(task, config))
    return found
  return _by_level(of_a, measure)


def make_evaluator(model: Any, pixels: forward.Pixels, batches: Callable[[], Iterable[Mapping[str, Any]]],
                   manifest: Manifest, config: ConfigDict,
                   mesh: jax.sharding.Mesh) -> Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]:
  """Returns f(state) -> (`values` of its predictions, {task: confusion})."""
  def evaluate(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = predict(model, state.best_params, state.batch_stats, pixels, manifest.tasks, batches(), mesh,
                    config.eval.chunk)
    return values(found, manifest, config), confusion(found, manifest).get(manifest.level, {})
  return evaluate


def values(found: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, float | None]:
  """{metric: value} of videos and {"patient/metric": value}, without intervals: cheap enough for an epoch.

  "loss" is the sum over tasks that training minimises, as far as figures tell it: of a regression its mean square.
  """
  def measure(task: Task) -> dict[str, Any]:
    return {level: metrics.figures(labels=labels, outputs=outputs, **_options(task, config))
            for level, (outputs, labels, _) in levels(found, manifest, task).items()}
  by_task = {task: measure(task) for task in manifest.tasks}
  for task in manifest.tasks:
    if whole := procedures(found, manifest, task):
      by_task[task]["video"] |= metrics.phase.figures([v for v, _ in whole], **_phase_options(task, config))
  by_level = _by_level(manifest, by_task.__getitem__)
  patients = {f"patient/{name}": value for name, value in by_level.get("patient", {}).items()}
  return {**by_level[manifest.level], **patients, "loss": loss(found, manifest)}


def loss(found: Predictions, manifest: Manifest) -> float:
  """"loss" of `values` alone."""
  def of(task: Task) -> float:
    value = metrics.loss(task.kind, manifest.labels(found.rows)[task.name], found.outputs[task.name],
                         classes=task.classes)
    return (value / task.std) ** 2 if task.kind == "regression" else value
  return sum(t.weight * of(t) for t in manifest.tasks)
