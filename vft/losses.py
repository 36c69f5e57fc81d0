"""Losses per clip; sums and divisions happen in the step."""
import jax
import optax


def cross_entropy(logits: jax.Array, labels: jax.Array, smoothing: float = 0.0) -> jax.Array:
  """(B, K) float32 logits and (B,) labels -> (B,) losses in nats. Smoothing as in arXiv:1512.00567, sec. 7."""
  targets = jax.nn.one_hot(labels, logits.shape[-1])
  return optax.softmax_cross_entropy(logits, optax.smooth_labels(targets, smoothing))
