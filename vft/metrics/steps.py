"""Sums over clips on the device."""
from typing import Any

import jax
import jax.numpy as jnp
from clu import metrics as clu_metrics

# Sums and a count; `merge` adds them up and only `compute` divides, so that padding bends nothing. Empty: nan.
StepMetrics = clu_metrics.Collection.create(
    loss=clu_metrics.Average.from_output("loss"),
    accuracy=clu_metrics.Average.from_fun(lambda correct, known, **_: {"values": correct, "mask": known}))
StepLoss = clu_metrics.Collection.create(loss=clu_metrics.Average.from_output("loss"))


def step(losses: jax.Array, logits: jax.Array | None, labels: jax.Array | None, mask: jax.Array) -> Any:
  """Losses (B,), logits (B, K), labels (B,) and mask (B,) of a batch -> sums over rows in the mask.

  A row whose label is missing, -1, has a loss (0, as training takes it) but counts in no accuracy. Without logits and
  labels, where the accuracy means nothing, the sums are those of the loss alone.
  """
  if logits is None or labels is None:
    return StepLoss.single_from_model_output(loss=losses.astype(jnp.float32), mask=mask.astype(bool))
  correct = (jnp.argmax(logits, axis=-1) == labels).astype(jnp.float32)
  return StepMetrics.single_from_model_output(
      loss=losses.astype(jnp.float32), correct=correct, mask=mask.astype(bool), known=mask.astype(bool) & (labels >= 0))
