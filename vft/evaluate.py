"""Validation and test: logits of every clip -> views -> videos -> patients -> figures with intervals."""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from ml_collections import ConfigDict

from vft import forward, metrics, sharding, stats
from vft.data.manifest import Manifest


@dataclass(frozen=True)
class Predictions:
  """Class probabilities of videos: rows (n,) of the manifest and probs (n, K), the mean over views."""
  rows: np.ndarray
  probs: np.ndarray


@partial(jax.jit, static_argnames=("model", "pixels"))
def _view_probs(model: Any, params: Any, batch_stats: Any, batch: Any, pixels: forward.Pixels) -> jax.Array:
  logits, _ = forward.logits(model, params, batch_stats, batch, pixels)
  return jax.nn.softmax(logits["label"], axis=-1).mean(axis=1)  # (B, K)


def predict(model: Any, params: Mapping[str, Any], batch_stats: Mapping[str, Any], pixels: forward.Pixels,
            batches: Iterable[Mapping[str, Any]], mesh: jax.sharding.Mesh) -> Predictions:
  """Runs the model over batches; padding and undecodable clips are dropped, rows come sorted."""
  rows, probs = [], []
  for batch in batches:
    on_device = sharding.put_batch(batch, mesh)
    out = _view_probs(model, params, batch_stats, on_device, pixels)
    prob, row, keep = (np.asarray(multihost_utils.process_allgather(x, tiled=True))
                       for x in (out, on_device["row"], on_device["mask"]))
    probs.append(prob[keep])
    rows.append(row[keep])
  if not rows:
    return Predictions(np.zeros(0, np.int32), np.zeros((0, 0), np.float32))
  row, prob = np.concatenate(rows), np.concatenate(probs)
  order = np.argsort(row)
  return Predictions(row[order], prob[order])


def levels(predictions: Predictions, manifest: Manifest) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """{"video": (probs, labels, groups), "patient": ...}; no patient level where a patient's rows have two labels."""
  labels, groups = manifest.labels(predictions.rows), manifest.groups(predictions.rows)
  found = {"video": (predictions.probs, labels, groups)}
  pooled = metrics.pool(predictions.probs, labels, groups) if manifest.grouped_by == "patient" else None
  return found if pooled is None else {**found, "patient": pooled}


def figures(predictions: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, Any]:
  """{"video": {metric: {value, low, high, n}}, "patient": ...}, 95 % by patient bootstrap."""
  out = {}
  for level, (probs, labels, groups) in levels(predictions, manifest).items():
    out[level] = stats.figures(labels, probs, groups, classes=manifest.classes, topk=config.eval.topk,
                               n=config.eval.bootstrap, seed=config.seed)
  return out


def confusion(predictions: Predictions, manifest: Manifest) -> dict[str, list[list[int]]]:
  """{"video": counts (K, K), "patient": ...}, rows the true class."""
  return {level: metrics.confusion(labels, probs).tolist()
          for level, (probs, labels, _) in levels(predictions, manifest).items()}


def differences(main: Predictions, other: Predictions, manifest: Manifest, config: ConfigDict) -> dict[str, Any]:
  """{"video": {metric: {value, low, high}}, ...} of main - other, paired by row and resampled together."""
  shared = np.intersect1d(main.rows, other.rows)
  a, b = (levels(Predictions(shared, p.probs[np.isin(p.rows, shared)]), manifest) for p in (main, other))
  return {level: stats.bootstrap_difference(
              a[level][1], a[level][0], b[level][0], a[level][2], classes=manifest.classes, topk=config.eval.topk,
              n=config.eval.bootstrap, seed=config.seed)
          for level in a}


def make_evaluator(model: Any, pixels: forward.Pixels, batches: Callable[[], Iterable[Mapping[str, Any]]],
                   manifest: Manifest, config: ConfigDict,
                   mesh: jax.sharding.Mesh) -> Callable[[Any], tuple[dict[str, Any], np.ndarray]]:
  """Returns f(state) -> ({metric: value} of videos, confusion (K, K)), without intervals: cheap enough for an epoch."""
  def evaluate(state: Any) -> tuple[dict[str, Any], np.ndarray]:
    found = predict(model, state.params, state.batch_stats, pixels, batches(), mesh)
    labels = manifest.labels(found.rows)
    return (metrics.classification(labels, found.probs, classes=manifest.classes, topk=config.eval.topk),
            metrics.confusion(labels, found.probs))
  return evaluate
