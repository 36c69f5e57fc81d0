"""Many heads of one shape trained at once on kept features: seeds x (rate, decay), one vmapped and scanned program."""
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vft import evaluate, forward, objective, optim, train
from vft.data.manifest import Manifest
from vft.hooks import Stop, score, waited

AT_ONCE = 2 << 30  # bytes of activations of the points that train side by side; the others wait for their turn
COPIES = 6  # a head holds about so many arrays of the size of its tokens in a step


@dataclass
class Point:
  """A head of the grid and its best epoch by validation. `bad` is the first step that was not finite, None = none."""
  head: str
  lr: float
  wd: float
  seed: int
  score: float = -math.inf  # what config.train.select says, larger is better
  step: int = 0
  scores: list[float] = field(default_factory=list)  # of its validations
  params: dict[str, np.ndarray] = field(default_factory=dict)  # averages where config.train.ema keeps them
  said: evaluate.Predictions | None = None  # of the validation clips
  curve: list[dict[str, Any]] = field(default_factory=list)  # of each validation the step and what was measured
  bad: int | None = None


@dataclass(frozen=True)
class Material:
  """What the heads learn from, on the device.

  samples: a batch of all that training shows, (N, ...) each.
  orders: of each seed the places in it (steps, B).
  val: batches of the validation clips, (C, B, ...) each, in the order of evaluation.
  """
  samples: Mapping[str, Any]
  orders: Mapping[int, np.ndarray]
  val: Mapping[str, Any]


def train_heads(config: ConfigDict, manifest: Manifest, model: Any, heads: Mapping[int, Mapping[str, Any]],
                material: Material, stop: Stop) -> list[Point]:
  """Trains the points of config.probe with the head of config.model, each as a run of its rate, decay and seed would.

  Validated every config.train.eval_every epochs and at the end, all at once. A point whose loss or gradient is not
  finite is marked and takes no further part.

  Args:
    config: whose only group that trains is "head", with everything that the points share.
    heads: {seed: {"head/...": first value}}.
    stop: called between two validations; raises to stop.
  """
  rates = list(itertools.product(config.probe.lr, config.probe.wd))
  points = [[Point(config.model.head, lr, wd, seed) for lr, wd in rates] for seed in heads]
  orders = np.stack([material.orders[seed] for seed in heads])  # (S, steps, B)
  steps, length = orders.shape[1], orders.shape[1] // config.train.epochs * config.train.eval_every
  # Filled up with steps that change nothing: all calls have one shape, and the program is compiled once.
  orders = np.pad(orders, [(0, 0), (0, -steps % length), (0, 0)], constant_values=-1)
  start, program = make_program(config, manifest, model, steps, len(rates), material)
  states = start(jax.tree.map(lambda *x: jnp.stack([jnp.asarray(a) for a in x]), *heads.values()))
  lr, wd = jnp.asarray(rates, jnp.float32).T
  rows, mask = np.asarray(material.val["row"]), np.asarray(material.val["mask"])
  order = np.argsort(rows[mask])
  for first in range(0, steps, length):
    stop()
    states, fine, outputs = program(states, lr, wd, jnp.asarray(list(heads)), orders[:, first:first + length],
                                    material.samples, material.val)
    found = jax.device_get((states.best_params, fine, outputs))
    for place in np.ndindex(len(heads), len(rates)):
      params, went_well, values = jax.tree.map(lambda x, place=place: x[place], found)
      said = evaluate.Predictions(rows[mask][order], {t: x[mask][order] for t, x in values.items()})
      _note(points[place[0]][place[1]], first, min(first + length, steps), params, went_well, said, manifest, config)
  return [point for of_seed in points for point in of_seed]


def make_program(config: ConfigDict, manifest: Manifest, model: Any, steps: int, rates: int,
                 material: Material) -> tuple[Callable[..., Any], Callable[..., Any]]:
  """Returns (start, program), both jitted.

  start: first values (S, ...) -> states (S, Q, ...) for S seeds and Q = `rates` pairs of rate and decay.
  program: (states, lr (Q,), wd (Q,), seeds (S,), orders (S, T, B), samples, val) -> the states T steps later, fine
    (S, Q, T), and {task: objective.values (S, Q, C, B, ...)} of the validation clips. Steps of -1 change nothing.
  """
  pixels, tasks = forward.make_pixels(config, model), manifest.tasks
  loss = objective.make_loss(config, tasks, manifest.labels(manifest.rows("train")))
  mirror, run_model = objective.make_mirror(config, tasks), partial(forward.logits, model, pixels=pixels, train=True)

  def make_tx(names: Mapping[str, Any], group: Mapping[str, Any]) -> Any:
    return optim.make_optimizer(config, dict.fromkeys(names, "head"), steps, rates={"head": group})

  def one(state, lr, wd, seed, order, samples, val):
    step = train.make_train_step(run_model, loss, make_tx(state.params, {"lr": lr, "wd": wd}), frozenset(state.params),
                                 accum=config.train.accum, seed=seed, mirror=mirror, ema=config.train.ema)

    def advance(state, chosen):
      new, _, _, fine = step(state, jax.tree.map(lambda x: x[chosen], samples))
      real = chosen[0] >= 0
      return jax.tree.map(partial(jnp.where, real), new, state), fine | ~real

    def evaluated(batch):
      sums = evaluate.view_sums(model, state.best_params, {}, batch, pixels, tasks)
      return jax.tree.map(lambda x: x / batch["tokens"].shape[1], sums)
    state, fine = jax.lax.scan(advance, state, order)
    return state, fine, jax.lax.map(evaluated, val)

  @jax.jit
  def start(params):
    tx = make_tx(params, {})
    first = jax.vmap(lambda p: train.TrainState(jnp.zeros((), jnp.int32), p, {}, tx.init(p),
                                                p if config.train.ema else {}))(params)
    return jax.tree.map(lambda x: jnp.repeat(x[:, None], rates, axis=1), first)

  width = max(1, AT_ONCE // (COPIES * _batch_bytes(material, config.train.batch // config.train.accum)))

  @partial(jax.jit, donate_argnums=0)
  def program(states, lr, wd, seeds, orders, samples, val):
    def of_seed(states, seed, order):
      return jax.lax.map(lambda x: one(x[0], x[1], x[2], seed, order, samples, val), (states, lr, wd),
                         batch_size=min(rates, max(1, width // len(seeds))))
    return jax.vmap(of_seed)(states, seeds, orders)
  return start, program


def _batch_bytes(material: Material, size: int) -> int:
  tokens = material.samples["tokens"]
  return size * tokens.nbytes // len(tokens)


def _note(point: Point, first: int, step: int, params: dict[str, np.ndarray], fine: np.ndarray,
          said: evaluate.Predictions, manifest: Manifest, config: ConfigDict) -> None:
  """Keeps what a validation after `step` says of a point; `fine` is of the steps after `first`."""
  if point.bad or waited(point.scores, config.train.patience):  # where a run would have ended
    return
  if not fine.all() or not all(np.isfinite(x).all() for x in said.outputs.values()):
    point.bad = step if fine.all() else first + int(np.argmin(fine)) + 1
    return
  select = config.train.select  # all figures take longer than the training, so they wait where the loss decides
  figures = {"loss": evaluate.loss(said, manifest)} if select == "loss" else evaluate.values(said, manifest, config)
  point.curve.append({"step": step, **figures})
  point.scores.append(score(figures, select))
  if point.scores[-1] >= point.score:  # of equal ones the last, as checkpoints have it
    point.score, point.step, point.said = point.scores[-1], step, said
    point.params = {name: np.array(x) for name, x in params.items()}


def choose(points: Sequence[Point]) -> Point | None:
  """The point with the best validation, of equal ones the first; None where none is finite."""
  finite = [p for p in points if not p.bad]
  return max(finite, key=lambda p: p.score) if finite else None
