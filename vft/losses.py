"""Losses per clip (B,), 0 where a label is missing (-1, or nan); sums and divisions happen in the step.

A mean divides by the number of labels that are there: `known(labels).sum()`.
"""
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from vft.errors import ConfigError, DataError, did_you_mean

WEIGHTS = ("none", "inverse", "effective")  # of class_weights


def known(labels: jax.Array, kind: str = "single") -> jax.Array:
  """Labels (B,), or (B, L) of kind "multi" -> (B,) bool: there is a label (one of L, at least) to learn from.

  Of single | multi | ordinal, missing is what is negative; a regression target may be negative: only nan is missing.
  """
  there = jnp.isfinite(labels) if kind == "regression" else labels >= 0  # nan >= 0 is false
  return there.any(axis=-1) if labels.ndim > 1 else there


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0,
                  weights: jax.Array | None = None) -> jax.Array:
  """Logits (B, K), labels (B,), class weights (K,) -> (B,) in nats: - sum_k w_k t_k log p_k.

  The targets t are one-hot, smoothed as in arXiv:1512.00567, sec. 7. The weight is in the loss of the clip; no mean
  divides by the weights, so weights should average 1 over the clips, as those of `class_weights` do.
  """
  targets = optax.smooth_labels(_one_hot(labels, logits), smoothing)
  losses = -(targets * jax.nn.log_softmax(logits) * _row(weights, logits)).sum(axis=-1)
  return jnp.where(known(labels), losses, 0.0)


def focal(logits: jax.Array, labels: jax.Array, gamma: float = 2.0, weights: jax.Array | None = None) -> jax.Array:
  """Logits (B, K), labels (B,), class weights (K,) -> (B,): - w (1 - p)^gamma log p (arXiv:1708.02002, eq. 5)."""
  log_p = (_one_hot(labels, logits) * jax.nn.log_softmax(logits)).sum(axis=-1)  # (B,)
  # 1 - p = -expm1(log p) > 0: at p = 1 the gradient of a power gamma < 1 is not finite.
  rest = jnp.maximum(-jnp.expm1(log_p), jnp.finfo(logits.dtype).tiny)
  weight = (_one_hot(labels, logits) * _row(weights, logits)).sum(axis=-1)
  return jnp.where(known(labels), -weight * rest**gamma * log_p, 0.0)


def logit_adjusted(logits: jax.Array, labels: jax.Array, prior: jax.Array, tau: float = 1.0,
                   smoothing: float = 0.0) -> jax.Array:
  """Logits (B, K), labels (B,), class frequencies (K,) of the training clips -> (B,) (arXiv:2007.07314, eq. 10).

  Cross-entropy of logits + tau log(prior). The bare logits, as they are in evaluation, then rank by balanced error.
  """
  prior = jnp.maximum(_row(prior, logits), jnp.finfo(logits.dtype).tiny)  # an absent class: 0 * log 0 would be nan
  return cross_entropy(logits + tau * jnp.log(prior), labels, smoothing)


def binary_cross_entropy(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
  """Logits (B, L), labels (B, L) of 0, 1 or missing, weights (L,) of the positives -> (B,): mean over known labels."""
  there = labels >= 0
  targets = jnp.where(there, labels, 0).astype(logits.dtype)
  losses = -(_row(weights, logits) * targets * jax.nn.log_sigmoid(logits)
             + (1 - targets) * jax.nn.log_sigmoid(-logits))
  return jnp.where(there, losses, 0.0).sum(axis=-1) / jnp.maximum(there.sum(axis=-1), 1)


def ordinal(logits: jax.Array, labels: jax.Array, weights: jax.Array | None = None) -> jax.Array:
  """Logits (B, K - 1) of "the grade is above k", labels (B,) from 0 to K - 1 -> (B,): the sum over k.

  CORAL (arXiv:1901.07884, eq. 4), with importance (K - 1,) of the tasks. Its head is one score with K - 1 biases, a
  cumulative link model: P(y > k) then cannot rise with k. `ordinal_probs` forgives a head for which it can.
  """
  above = (labels[:, None] > jnp.arange(logits.shape[-1])[None]).astype(logits.dtype)
  losses = above * jax.nn.log_sigmoid(logits) + (1 - above) * jax.nn.log_sigmoid(-logits)
  return jnp.where(known(labels), -(losses * _row(weights, logits)).sum(axis=-1), 0.0)


def ordinal_probs(logits: jax.Array) -> jax.Array:
  """Logits (..., K - 1) of "the grade is above k" -> probabilities (..., K) of the grades, none negative."""
  above = jax.lax.associative_scan(jnp.minimum, jax.nn.sigmoid(logits), axis=-1)
  ends = [(0, 0)] * (logits.ndim - 1)
  return jnp.pad(above, [*ends, (1, 0)], constant_values=1.0) - jnp.pad(above, [*ends, (0, 1)])


def regression(outputs: jax.Array, targets: jax.Array, how: str = "l2", delta: float = 1.0, mean: float = 0.0,
               std: float = 1.0) -> jax.Array:
  """Outputs (B,) or (B, 1) in standard deviations from the mean, targets (B,) in their own unit -> (B,).

  Targets become (y - mean) / std, both of the training clips. how: l1, l2 (the squared error, not halved) or huber
  (optax: half the squared error up to `delta`, then linear).
  """
  outputs = outputs.reshape(targets.shape)
  errors: dict[str, Callable[..., jax.Array]] = {
      "l1": lambda a, b: jnp.abs(a - b), "l2": optax.squared_error,
      "huber": lambda a, b: optax.huber_loss(a, b, delta=delta)}
  if how not in errors:
    raise ConfigError(f"Unknown regression loss {how!r}; known: {list(errors)}{did_you_mean(how, errors)}.")
  there = known(targets, "regression")  # replaced before the loss: where() after it would let nan into the gradient
  return jnp.where(there, errors[how](outputs, jnp.where(there, (targets - mean) / std, 0.0)), 0.0)


def class_weights(counts: Sequence[int] | np.ndarray, how: str, beta: float = 0.9999) -> np.ndarray:
  """Training clips of each class (K,) -> weights (K,) float32 whose mean over the clips is 1.

  how: none; inverse (1 / count: scikit-learn's "balanced"); effective ((1 - beta) / (1 - beta^count), the effective
  number of samples, arXiv:1901.05555, eq. 2). That paper makes the weights sum to K instead: for us the loss keeps
  its size, and with it the learning rate its meaning.

  Raises ConfigError on another `how`, DataError on a class without clips.
  """
  n = np.asarray(counts, np.float64)
  if how not in WEIGHTS:
    raise ConfigError(f"Unknown class weights {how!r}; known: {list(WEIGHTS)}{did_you_mean(how, WEIGHTS)}.")
  if n.min(initial=np.inf) <= 0:
    raise DataError(f"Class weights need clips of every class, got {n.astype(int).tolist()}. "
                    "Leave the empty class out, or give the training split some of its clips.")
  raw: Any = np.ones_like(n) if how == "none" else (
      1 / n if how == "inverse" else (1 - beta) / -np.expm1(n * np.log(beta)))
  return (raw * n.sum() / (raw * n).sum()).astype(np.float32)


def _one_hot(labels: jax.Array, logits: jax.Array) -> jax.Array:
  """A missing label becomes class 0: its loss is finite, and set to 0 in the end."""
  return jax.nn.one_hot(jnp.where(known(labels), labels, 0).astype(jnp.int32), logits.shape[-1], dtype=logits.dtype)


def _row(values: Any, logits: jax.Array) -> jax.Array:
  """(K,) or None -> (1, K): ones where None."""
  return jnp.ones((1, 1), logits.dtype) if values is None else jnp.asarray(values, logits.dtype)[None]
