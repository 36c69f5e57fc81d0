"""Validation and test: logits of every clip -> views -> videos -> patients -> figures with intervals."""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from vft import forward, metrics, objective, sharding, stats
from vft.data.manifest import Manifest
from vft.tasks import Task

Level = tuple[np.ndarray, np.ndarray, np.ndarray]  # outputs, labels and groups


@dataclass(frozen=True)
class Predictions:
  """Outputs of videos: rows (n,) of the manifest and {task: (n, K)}, the mean over views of objective.values."""
  rows: np.ndarray
  outputs: dict[str, np.ndarray]

  def of(self, rows: np.ndarray) -> "Predictions":
    """Those of some of the rows."""
    keep = np.isin(self.rows, rows)
    return Predictions(self.rows[keep], {task: x[keep] for task, x in self.outputs.items()})


@partial(jax.jit, static_argnames=("model", "pixels", "tasks"))
def _view_sums(model: Any, params: Any, batch_stats: Any, batch: Any, pixels: forward.Pixels,
               tasks: tuple[Task, ...]) -> dict[str, jax.Array]:
  logits, _ = forward.logits(model, params, batch_stats, batch, pixels)
  return {t.name: objective.values(t, logits[t.name]).sum(axis=1) for t in tasks}  # (B, K)


def predict(model: Any, params: Mapping[str, Any], batch_stats: Mapping[str, Any], pixels: forward.Pixels,
            tasks: tuple[Task, ...], batches: Iterable[Mapping[str, Any]], mesh: jax.sharding.Mesh,
            chunk: int = 0) -> Predictions:
  """Runs the model over batches; padding and undecodable clips are dropped, rows come sorted.

  `chunk`: views of a clip per forward pass, 0 = all of them.
  """
  rows, found = [np.zeros(0, np.int32)], {t.name: [] for t in tasks}
  for batch in batches:
    views = batch["tokens" if "tokens" in batch else "video"].shape[1]
    parts = [_view_sums(model, params, batch_stats, sharding.put_batch(part, mesh), pixels, tasks)
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
  """{"video": (outputs, labels, groups), "patient": ...}; no patient level where a patient's rows have two labels."""
  labels, groups = manifest.labels(predictions.rows)[task.name], manifest.groups(predictions.rows)
  outputs = predictions.outputs[task.name]
  found = {"video": (outputs, labels, groups)}
  pooled = metrics.pool(outputs, labels, groups) if manifest.grouped_by == "patient" else None
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
  return dict(kind=task.kind, classes=task.classes, topk=config.eval.topk)


def figures(predictions: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, Any]:
  """{"video": {metric: {value, low, high, n}}, "patient": ...}, 95 % by patient bootstrap."""
  def measure(task: Task) -> dict[str, Any]:
    return {level: stats.figures(labels, outputs, groups, n=config.eval.bootstrap, seed=config.seed,
                                 **_options(task, config))
            for level, (outputs, labels, groups) in levels(predictions, manifest, task).items()}
  return _by_level(manifest, measure)


def confusion(predictions: Predictions, manifest: Manifest) -> dict[str, dict[str, list[list[int]]]]:
  """{"video": {task: counts (K, K)}, "patient": ...} of tasks with one label, rows the true class."""
  def measure(task: Task) -> dict[str, Any]:
    if task.kind not in ("single", "ordinal"):
      return {}
    return {level: {task.name: metrics.confusion(*metrics.present(task.kind, labels, outputs)).tolist()}
            for level, (outputs, labels, _) in levels(predictions, manifest, task).items()}
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


def make_evaluator(model: Any, pixels: forward.Pixels, batches: Callable[[], Iterable[Mapping[str, Any]]],
                   manifest: Manifest, config: ConfigDict,
                   mesh: jax.sharding.Mesh) -> Callable[[Any], tuple[dict[str, Any], dict[str, Any]]]:
  """Returns f(state) -> ({metric: value} of videos, {task: confusion}), without intervals: cheap enough for an epoch.

  "loss" is the sum over tasks that training minimises, as far as figures tell it: of a regression its mean square.
  """
  def evaluate(state: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = predict(model, state.params, state.batch_stats, pixels, manifest.tasks, batches(), mesh, config.eval.chunk)
    labels = manifest.labels(found.rows)
    by_task = {t: metrics.figures(labels=labels[t.name], outputs=found.outputs[t.name], **_options(t, config))
               for t in manifest.tasks}
    flat = _by_level(manifest, lambda task: {"video": by_task[task]})["video"]
    flat["loss"] = sum(t.weight * _loss(t, f) for t, f in by_task.items())
    return flat, confusion(found, manifest).get("video", {})
  return evaluate


def _loss(task: Task, found: Mapping[str, float | None]) -> float:
  if task.kind == "regression":
    return ((found["rmse"] or 0.0) / task.std) ** 2
  return found["loss"] or 0.0
