"""Heads: tokens (B, N, D) -> {task: logits (B, K)}. A head first pools: what it needs can be kept."""
import jax
import jax.numpy as jnp
from flax import linen as nn

KINDS = ("linear", "mlp", "original")


class Head(nn.Module):
  """Pool, hidden layers (mlp only), then one dense layer per task, under the task's name; all in float32.

  `kind`: "linear" and "mlp" take the mean over all tokens; "original" pools as the published classifier of I3D
  (arXiv:1705.07750): an average over windows of 2 x 7 x 7, then over time. Dropout comes before each dense layer.
  """
  tasks: tuple[tuple[str, int], ...]
  kind: str = "linear"
  hidden: tuple[int, ...] = (256, 128)
  dropout: float = 0.0

  def pool(self, tokens: jax.Array, grid: tuple[int, int, int]) -> jax.Array:
    """Tokens (B, N, D) of a grid (T', H', W'), N = T'H'W' -> (B, 1, D); already pooled ones, grid (1, 1, 1), stay."""
    tokens = tokens.astype(jnp.float32)
    if self.kind == "original":
      b, _, d = tokens.shape
      window = tuple(min(size, full) for size, full in zip(grid, (2, 7, 7), strict=True))
      # The classifier is linear: the mean over time may come before it as well as after it.
      tokens = nn.avg_pool(tokens.reshape(b, *grid, d), window, padding="VALID").reshape(b, -1, d)
    return tokens.mean(axis=1, keepdims=True)

  @nn.compact
  def __call__(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False) -> dict[str, jax.Array]:
    """Tokens (B, N, D) -> {task: (B, K)}; `train` needs a "dropout" key where dropout > 0."""
    x = self.pool(tokens, grid)[:, 0]  # (B, D)
    widths = self.hidden if self.kind == "mlp" else ()
    for i, width in enumerate(widths):
      x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{i:02}")(x)
      x = nn.relu(nn.Dense(width, name=f"hidden_{i:02}")(x))
    x = nn.Dropout(self.dropout, deterministic=not train, name=f"dropout_{len(widths):02}")(x)
    return {task: nn.Dense(classes, name=task)(x) for task, classes in self.tasks}
