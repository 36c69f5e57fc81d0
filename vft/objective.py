"""What the outputs of a head mean: their loss in training, their values in evaluation; by the kind of each task."""
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vft import losses
from vft.data.augment import sides
from vft.tasks import Task

Loss = Callable[[Mapping[str, jax.Array], Mapping[str, jax.Array]], jax.Array]


def make_loss(config: ConfigDict, tasks: tuple[Task, ...], labels: Mapping[str, np.ndarray]) -> Loss:
  """Returns f({task: logits (B, K)}, {task: labels (B, ...)}) -> (B,), the weighted sum over the tasks.

  Of moments logits (B, S, K), or (B, S, stages, K) whose losses are averaged, and labels (B, S, ...) -> (B, S).

  A missing label adds nothing to its clip. `labels` are those of the training clips: their counts give class weights
  and priors. Raises ConfigError and DataError as `losses.class_weights`.
  """
  parts = {task.name: _of_moments(_one(config, task, labels[task.name])) for task in tasks}

  def total(logits: Mapping[str, jax.Array], batch: Mapping[str, jax.Array]) -> jax.Array:
    return sum((task.weight * parts[task.name](logits[task.name], batch[task.name]) for task in tasks),
               start=jnp.zeros(()))
  return total


def _of_moments(loss: Callable[[jax.Array, jax.Array], jax.Array]) -> Callable[[jax.Array, jax.Array], jax.Array]:
  """A loss of clips -> the same of clips, of moments, and of several stages of moments."""
  def any_rank(x: jax.Array, y: jax.Array) -> jax.Array:
    return loss(x, y) if x.ndim == 2 else over_moments(x, y) if x.ndim == 3 else over_stages(x, y).mean(axis=0)
  over_moments = jax.vmap(loss)
  over_stages = jax.vmap(over_moments, in_axes=(2, None))
  return any_rank


def _one(config: ConfigDict, task: Task, labels: np.ndarray) -> Callable[[jax.Array, jax.Array], jax.Array]:
  c, smoothing = config.loss, config.train.label_smoothing
  if task.kind == "regression":
    return lambda x, y: losses.regression(x[:, 0], y, c.regression, c.delta, task.mean, task.std)
  if task.kind == "ordinal":
    return losses.ordinal
  if task.kind == "multi":
    there, positive = (labels >= 0).sum(axis=0), (labels > 0).sum(axis=0)
    balance = np.where(positive > 0, (there - positive) / np.maximum(positive, 1), 1.0)
    return lambda x, y: losses.binary_cross_entropy(x, y, None if c.class_weights == "none" else jnp.asarray(balance))
  counts = np.bincount(labels[labels >= 0], minlength=len(task.classes))
  if c.name == "logit_adjusted":
    return lambda x, y: losses.logit_adjusted(x, y, counts / counts.sum(), c.tau, smoothing)
  weights = None if c.class_weights == "none" else jnp.asarray(losses.class_weights(counts, c.class_weights))
  if c.name == "focal":
    return lambda x, y: losses.focal(x, y, c.gamma, weights)
  return lambda x, y: losses.cross_entropy(x, y, smoothing, weights)


def make_mirror(config: ConfigDict, tasks: tuple[Task, ...]) -> Callable[[Mapping[str, Any]], dict[str, jax.Array]]:
  """Returns f(batch) -> its labels, those of mirrored clips swapped where config.augment.flip_pairs says so.

  Raises ConfigError on a class that no task has.
  """
  pairs, named = config.augment.flip_pairs if config.augment.enabled else (), {c for t in tasks for c in t.classes}
  sides.make_table(sorted(named), pairs)
  tables = {t.name: sides.make_table(t.classes, [p for p in pairs if set(p) <= set(t.classes)]) for t in tasks}

  def mirror(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
    labels = dict(batch["label"])
    if not pairs:
      return labels
    seen = sides.flipped(batch["row"], batch["copy"], seed=config.seed, probability=config.augment.flip)
    for task in tasks:
      if task.kind != "regression":
        swap = sides.swap_columns if task.kind == "multi" else sides.swap
        labels[task.name] = swap(labels[task.name], seen, tables[task.name])
    return labels
  return mirror


def values(task: Task, logits: jax.Array) -> jax.Array:
  """Logits (..., K) -> what is reported: probabilities of classes, grades or labels; a regression in its own unit."""
  if task.kind == "regression":
    return logits * task.std + task.mean
  if task.kind == "ordinal":
    return losses.ordinal_probs(logits)
  return jax.nn.sigmoid(logits) if task.kind == "multi" else jax.nn.softmax(logits, axis=-1)
