"""The training step, a pure function, and the loop around it."""
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np
import optax

from vft import distributed, metrics, optim, sharding, trees
from vft.data.augment import draws, mix
from vft.errors import NotFiniteError
from vft.objective import Loss

Flat = dict[str, Any]
Mirror = Callable[[Mapping[str, Any]], dict[str, jax.Array]]


@flax.struct.dataclass
class TrainState:
  """All that a step changes. Parameters and statistics are flat: {"head/label/kernel": array}."""
  step: jax.Array
  params: Flat
  batch_stats: Flat
  opt_state: Any
  ema: Flat = flax.struct.field(default_factory=dict)  # moving averages of what trains; {} where none are kept

  @property
  def best_params(self) -> Flat:
    """What is validated, saved as the best and used: the averages where they are kept."""
    return {**self.params, **self.ema}


def make_state(params: Flat, batch_stats: Flat, tx: optax.GradientTransformation, mesh: jax.sharding.Mesh,
               averaged: frozenset[str] = frozenset(), whole: Sequence[str] = ()) -> TrainState:
  """Step 0, placed on the mesh as by `sharding.place`. `averaged` are the names in `ema`."""
  ema = {name: np.array(params[name]) for name in averaged}  # copies: a step gives its buffers away
  state = TrainState(jnp.zeros((), jnp.int32), params, batch_stats, optim.first_state(tx, params), ema)
  return sharding.put(state, mesh, whole)


def _parts(batch: Flat, accum: int) -> Flat:
  """(B, ...) -> (A, B / A, ...), every part spread over all devices as the batch was."""
  return jax.tree.map(lambda x: x.reshape(x.shape[0] // accum, accum, *x.shape[1:]).swapaxes(0, 1), batch)


def _same_labels(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
  return batch["label"]


def make_train_step(forward: Callable[..., Any], loss: Loss, tx: optax.GradientTransformation, trained: frozenset[str],
                    *, accum: int = 1, seed: int = 0, accuracy_of: str = "", mirror: Mirror = _same_labels,
                    mixing: mix.Mix | None = None, size: int = 0, ema: float = 0.0,
                    mesh: jax.sharding.Mesh | None = None) -> Callable[..., Any]:
  """Returns jitted `step(state, batch) -> (state, StepMetrics, losses (B,), fine)`; the state is donated.

  Args:
    forward: (params, batch_stats, batch, rng) -> ({task: logits (B, V, K)}, batch_stats).
    loss: from `objective.make_loss`.
    tx: from `optim.make_optimizer`.
    trained: names that train. Only they are differentiated: a frozen trunk gets no backward pass, and its zero
      gradients do not enter the clipping norm.
    accum: parts of a batch, one after another. The gradient is that of the mean over all clips of the batch.
    accuracy_of: a task of one label, whose accuracy the metrics hold; "" = the loss alone.
    mirror: from `objective.make_mirror`: a batch -> its labels, for clips that augmentation turned left to right.
    mixing: mixup and cutmix of the clips of a part, of frames of `size` pixels.
    seed: of dropout and mixing; the key of a step depends on (seed, step) alone.
    ema: decay of the averages that the state holds, see `average`.
    mesh: over which the parameters may be split; None: they are whole.

  A loss or gradient that is not finite leaves parameters and optimiser as they were.
  """
  def loss_of(params, frozen, stats, part, rng):
    labels, share = mirror(part), 1.0
    if mixing:
      drawn = mix.draw(jax.random.fold_in(rng, draws.MIX), part["mask"], size, mixing)
      part, share = {**part, "mix": drawn}, drawn.share
    logits, stats = forward(sharding.gathered({**frozen, **params}, mesh), stats, part, rng=rng)
    scores = {task: x.mean(axis=1) for task, x in logits.items()}  # (B, K)
    losses = loss(scores, labels)
    if mixing:
      losses = share * losses + (1 - share) * loss(scores, jax.tree.map(mix.partner, labels))
    losses = jnp.where(part["mask"], losses, 0.0)
    return losses.sum(), (stats, losses, metrics.step(losses, scores.get(accuracy_of), labels.get(accuracy_of),
                                                part["mask"]))

  @partial(jax.jit, donate_argnums=0)
  def step(state: TrainState, batch: Flat):
    params, frozen = trees.split(state.params, trained)
    rng = jax.random.fold_in(jax.random.key(seed), state.step)

    def one_part(carry, part_and_index):
      stats, total = carry
      part, index = part_and_index
      grads, (stats, losses, sums) = jax.grad(loss_of, has_aux=True)(
          params, frozen, stats, part, jax.random.fold_in(rng, index))
      return (stats, jax.tree.map(jnp.add, total, grads)), (losses, sums)

    zeros = jax.tree.map(jnp.zeros_like, params)
    if accum == 1:
      (stats, grads), (losses, sums) = one_part((state.batch_stats, zeros), (batch, 0))
    else:
      (stats, grads), (losses, sums) = jax.lax.scan(
          one_part, (state.batch_stats, zeros), (_parts(batch, accum), jnp.arange(accum)))
      losses = losses.swapaxes(0, 1).reshape(-1, *losses.shape[2:])
      sums = sums.reduce()
    count = jnp.maximum(batch["mask"].sum(), 1)
    grads = jax.tree.map(lambda g: g / count, grads)
    fine = jnp.isfinite(losses.sum()) & jnp.isfinite(optax.tree.norm(grads))
    nothing = {name: optax.MaskedNode() for name in frozen}  # not even zeros are made for them
    updates, opt_state = tx.update({**nothing, **grads}, state.opt_state, {**nothing, **params})
    moved: Any = optax.apply_updates(params, {name: updates[name] for name in params})  # pyright: ignore
    keep = partial(jax.tree.map, lambda new, old: jnp.where(fine, new, old))
    averages = average(state.ema, moved, ema, state.step)
    return TrainState(state.step + 1, {**frozen, **keep(moved, params)}, keep(stats, state.batch_stats),
                      keep(opt_state, state.opt_state), keep(averages, state.ema)), sums, losses, fine
  return step


def average(ema: Flat, params: Mapping[str, Any], decay: float, step: jax.Array) -> Flat:
  """The moving averages after a step, of the names in `ema`; BatchNorm statistics, averages themselves, have none.

  They start at the first values. The decay is min(decay, (1 + step) / (10 + step)), as of TensorFlow's
  ExponentialMovingAverage: so a short run is not held back by its start, and no bias is left to correct.
  """
  rate = 1 - jnp.minimum(decay, (1 + step) / (10 + step))
  return {name: old + rate * (params[name] - old) for name, old in ema.items()}


def check_finite(fine: Any, losses: Any, step: int, batch: Mapping[str, Any],
                 ids: Callable[[np.ndarray], list[str]]) -> None:
  """Raises NotFiniteError that names the clips when a step's loss or gradient is not finite."""
  if not bool(fine):
    bad = ~np.isfinite(distributed.share(sharding.fetch(losses)))
    rows, mask = (np.asarray(batch[k]) for k in ("row", "mask"))
    raise NotFiniteError(f"The loss or its gradient is not finite at step {step}, which has changed nothing.\n"
                   f"  clips: {ids(rows[bad if bad.any() else mask])}\n"
                   "Lower the learning rate (--config.groups.head.lr=...), or look at these clips for broken pixels.")


def fit(state: TrainState, batches: Iterator[Mapping[str, Any]], *, step: Callable[..., Any], until: int,
        mesh: jax.sharding.Mesh, clock: Any, ids: Callable[[np.ndarray], list[str]],
        hooks: tuple[Callable[..., None], ...], finished: Callable[[], bool] = lambda: False) -> TrainState:
  """Steps up to `until`, or until `finished`. After each one the hooks are called as hook(step, state, sums, batch)."""
  for number in range(int(state.step) + 1, until + 1):
    if finished():
      break
    with clock("data"):
      batch = next(batches)
    with clock("step"):
      state, sums, losses, fine = step(state, sharding.put_batch(batch, mesh))
      check_finite(fine, losses, number, batch, ids)  # before any hook: a bad state is neither evaluated nor saved
    for hook in hooks:
      hook(number, state, sums, batch)
  return state
