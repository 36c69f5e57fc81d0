"""Heads: tokens (B, N, D) -> {task: logits}. A head first pools: what it needs of the trunk can be kept."""
import jax
import jax.numpy as jnp
from flax import linen as nn

from vft.models import pooling, temporal
from vft.models.pooling import Spec

Tasks = tuple[tuple[str, int], ...]
Logits = dict[str, jax.Array]


class Coral(nn.Module):
  """One score and K - 1 biases: logits of "the grade is above k" that no input can put out of order by much.

  The head of CORAL (arXiv:1901.07884): biases of the least loss fall with k. They start falling from 1 to 0.
  """
  grades_above: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    n = self.grades_above
    bias = self.param("bias", lambda _: jnp.arange(n, 0, -1) / n)
    score = nn.Dense(1, use_bias=False, name="score")(x)
    return score + bias.reshape((1,) * (x.ndim - 1) + (n,))


def classify(x: jax.Array, tasks: Tasks, spec: Spec, prefix: str = "") -> Logits:
  """Vectors (..., D) -> {task: (..., K)} by one layer per task, called as the task; inside a compact method only."""
  kinds = dict(spec.kinds)
  return {task: (Coral(k, name=prefix + task) if kinds.get(task) == "ordinal" else nn.Dense(k, name=prefix + task))(x)
          for task, k in tasks}


def hidden(x: jax.Array, spec: Spec, train: bool) -> jax.Array:
  """Vectors (..., D) -> (..., D') by dropout and the layers of an mlp; inside a compact method only."""
  widths = spec.hidden if spec.kind == "mlp" else ()
  for i, width in enumerate(widths):
    x = nn.Dropout(spec.dropout, deterministic=not train, name=f"dropout_{i:02}")(x)
    x = nn.relu(nn.Dense(width, name=f"hidden_{i:02}")(x))
  return nn.Dropout(spec.dropout, deterministic=not train, name=f"dropout_{len(widths):02}")(x)


class Head(nn.Module):
  """Pool, then what `spec` says, then one layer per task, under the task's name; all in float32."""
  tasks: Tasks
  spec: Spec = Spec()

  @nn.compact
  def __call__(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False,
               present: jax.Array | None = None) -> Logits:
    """Tokens (B, N, D) -> {task: (B, K)}; `train` needs a "dropout" key where dropout > 0. All tokens are present."""
    del present
    s, x = self.spec, pooling.pool(self.spec, tokens, grid)  # (B, M, D)
    if s.norm:
      x = nn.LayerNorm(epsilon=s.norm, name="norm")(x)
    if s.kind == "attentive":
      x = temporal.AttentivePooler(s.depth, name="pooler")(x)  # (B, D)
    elif s.kind == "transformer":
      x = temporal.TemporalTransformer(s.depth, s.dropout, name="transformer")(x, train)
    elif s.kind == "tcn":
      x = temporal.Dilated(s.hidden[0], s.depth, s.dropout, name="tcn")(x, train).mean(axis=1)
    elif s.temporal == "attention":
      x = temporal.AttentionPool(name="attention")(x)
    elif s.temporal != "logits":
      x = x[:, 0]
    out = classify(hidden(x, s, train), self.tasks, s)
    return out if x.ndim == 2 else {task: logits.mean(axis=1) for task, logits in out.items()}


class PatientHead(nn.Module):
  """Clips of a patient (B, S, D), some of them not there, -> {task: (B, K)}: pooled as spec.temporal says."""
  tasks: Tasks
  spec: Spec

  @nn.compact
  def __call__(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False,
               present: jax.Array | None = None) -> Logits:
    """`present` (B, S) bool, None = all; a patient without any gets the logits of a vector of zeros."""
    del grid
    s, x = self.spec, tokens.astype(jnp.float32)
    there = (jnp.ones(x.shape[:2], bool) if present is None else present)[..., None]  # (B, S, 1)
    if s.norm:
      x = nn.LayerNorm(epsilon=s.norm, name="norm")(x)
    if s.temporal == "attention":
      x = temporal.AttentionPool(name="attention")(x, there)
    elif s.temporal == "max":
      x = jnp.where(there.any(axis=1), x.max(axis=1, where=there, initial=-jnp.inf), 0.0)
    elif s.temporal == "mean":
      x = temporal.mean(x, there)
    out = classify(hidden(x, s, train), self.tasks, s)
    return out if x.ndim == 2 else {task: temporal.mean(logits, there) for task, logits in out.items()}


class MomentHead(nn.Module):
  """Moments of a procedure in their order (B, S, D) -> {task: (B, S, K)}; a moment knows nothing of later ones.

  linear and mlp see each by itself. tcn: causal dilated convolutions, stages that refine the probabilities of the one
  before (TeCNO, arXiv:2003.10751). transformer: causal self-attention, any number of moments.
  """
  tasks: Tasks
  spec: Spec

  @nn.compact
  def __call__(self, tokens: jax.Array, grid: tuple[int, int, int], train: bool = False,
               present: jax.Array | None = None) -> Logits:
    """In training the logits of all stages, {task: (B, S, stages, K)}, where there is more than one."""
    del grid, present
    s, x = self.spec, tokens.astype(jnp.float32)
    if s.norm:
      x = nn.LayerNorm(epsilon=s.norm, name="norm")(x)
    if s.kind == "transformer":
      x = temporal.CausalTransformer(s.hidden[0], s.depth, s.dropout, name="transformer")(x, train)
    elif s.kind == "tcn":
      return self._stages(x, train)
    return classify(hidden(x, s, train), self.tasks, s)

  def _stages(self, x: jax.Array, train: bool) -> Logits:
    s, kinds, out = self.spec, dict(self.spec.kinds), []
    for i in range(s.stages):
      x = temporal.Dilated(s.hidden[0], s.depth, s.dropout, causal=True, name=f"tcn_{i:02}")(x, train)
      out.append(classify(x, self.tasks, s, "" if i == s.stages - 1 else f"stage_{i:02}_"))
      said = (nn.softmax(y) if kinds.get(task, "single") == "single" else nn.sigmoid(y) for task, y in out[-1].items())
      x = jnp.concatenate(list(said), axis=-1)
    if not train or s.stages == 1:
      return out[-1]
    return {task: jnp.stack([stage[task] for stage in out], axis=2) for task, _ in self.tasks}


HEADS: dict[str, type[Head] | type[PatientHead] | type[MomentHead]] = {
    "clip": Head, "patient": PatientHead, "video": MomentHead}
