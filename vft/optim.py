"""Groups -> optax.multi_transform: zero updates for frozen groups, a rate, decay and schedule of its own for others."""
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ml_collections import ConfigDict

from vft import lora
from vft.errors import ConfigError

OUTERMOST = ("norm", "pooler")  # what stands behind a trunk's last block has the head's rate, as in BEiT's code


def make_groups(config: ConfigDict) -> dict[str, dict[str, Any]]:
  """{group: dict(train, lr, wd, schedule, epoch)}, missing keys from config.optim.group; from `epoch` on it trains."""
  thaw = {name: epoch for epoch, names in config.train.stages for name in names}
  return {name: {**config.optim.group.to_dict(), **group.to_dict(), "epoch": thaw.get(name, 0)}
          for name, group in config.groups.items()}


def first_step(config: ConfigDict, epoch: int, steps: int) -> int:
  """Steps done before an epoch of a run of `steps`."""
  return epoch * (steps // config.train.epochs)


def make_schedule(kind: str, lr: float, steps: int, warmup: int) -> optax.Schedule:
  """A climb from 0 over `warmup` steps, then constant, or down to 0 at `steps` by a line or half a cosine."""
  left = max(steps - warmup, 1)
  after = {"constant": lambda: optax.constant_schedule(lr),
           "linear": lambda: optax.linear_schedule(lr, 0.0, left),
           "cosine": lambda: optax.cosine_decay_schedule(lr, left)}[kind]()
  return optax.join_schedules([optax.linear_schedule(0.0, lr, warmup), after], [warmup]) if warmup else after


def warmup_steps(config: ConfigDict, epoch: int, steps: int) -> tuple[int, int]:
  """Steps in which the rate climbs, and all the steps, of a group that trains from `epoch` on in a run of `steps`."""
  left = steps - first_step(config, epoch, steps)
  unit = {"share": left, "steps": 1, "epochs": steps // config.train.epochs}[config.optim.warmup_unit]
  return round(config.optim.warmup * unit), left


def check_warmup(config: ConfigDict, steps: int) -> None:
  """Raises ConfigError where the rate of a group would climb for longer than the group trains."""
  for name, group in make_groups(config).items():
    climb, left = warmup_steps(config, group["epoch"], steps)
    if group["train"] and climb > left:
      raise ConfigError(
          f"The rate of config.groups.{name} would climb for {climb} steps (config.optim.warmup={config.optim.warmup:g}"
          f", warmup_unit={config.optim.warmup_unit!r}), but the group trains for {left} steps.\n"
          f"Lower --config.optim.warmup, or train longer: --config.train.epochs.")


def layer_scales(config: ConfigDict, names: Sequence[str], blocks: Sequence[str]) -> dict[str, float]:
  """{name: factor of its rate}: layer_decay to the power of how many blocks away the head is; {} where that is 1.

  As in BEiT (arXiv:2106.08254, sec. 3.3) and VideoMAE (arXiv:2203.12602): the last block has layer_decay, the one
  before its square, and so on; the head and what is no block have 1. `lora/<kernel>/a` goes by its kernel.
  """
  if config.optim.layer_decay == 1:
    return {}
  depth = [b for b in blocks if b not in OUTERMOST]
  power = {block: len(depth) - i for i, block in enumerate(depth)}
  return {name: config.optim.layer_decay ** power.get(lora.block_of(name), 0) for name in names}


def decays(name: str, x: Any) -> bool:
  """Whether weight decay acts on a parameter: on kernels and LoRA's products alone, as in the published recipes.

  Biases, scales, class tokens and queries, positions and tables of relative positions stay free.
  """
  return jnp.ndim(x) > 1 and (name.endswith("/kernel") or name.startswith(lora.PREFIX))


def _make_inner(config: ConfigDict, group: Mapping[str, Any], steps: int,
                scales: Mapping[str, float]) -> optax.GradientTransformation:
  o = config.optim
  direction = optax.trace(o.momentum) if o.name == "sgd" else optax.scale_by_adam(o.b1, o.b2, o.eps)
  warmup, steps = warmup_steps(config, group["epoch"], steps)
  schedule = make_schedule(group["schedule"], group["lr"], steps, warmup)
  decay = optax.add_decayed_weights(group["wd"], mask=lambda p: jax.tree_util.tree_map_with_path(
      lambda path, x: decays(path[0].key, x), p))
  # After the decay: in the published recipes a low rate lowers the decay as well.
  by_layer = optax.stateless(lambda updates, _: jax.tree_util.tree_map_with_path(
      lambda path, x: scales[path[0].key] * x, updates)) if scales else optax.identity()
  return optax.chain(direction, decay, by_layer, optax.scale_by_learning_rate(schedule))


def make_optimizer(config: ConfigDict, labels: Mapping[str, str], steps: int, *, epoch: int | None = None,
                   scales: Mapping[str, float] | None = None,
                   rates: Mapping[str, Mapping[str, Any]] | None = None) -> optax.GradientTransformation:
  """The transform of a flat tree of parameters.

  Args:
    config: the fields groups, optim and train.
    labels: {parameter name: group}, from `trees.assign`.
    steps: steps of the whole run, on which the schedules depend.
    epoch: the groups that train from a later epoch on are frozen; None = all that train at the end of the run do.
    scales: {parameter name: factor of its rate}, from `layer_scales`.
    rates: {group: {"lr": ..., "wd": ...}} in place of the config's; they may be traced.
  """
  inner: dict[Any, optax.GradientTransformation] = {
      name: _make_inner(config, {**group, **(rates or {}).get(name, {})}, steps, scales or {})
      if trains(group, epoch) else optax.set_to_zero()
      for name, group in make_groups(config).items()}
  grouped = optax.multi_transform(inner, dict(labels))
  # Frozen leaves have no gradients here, so the norm is that of what trains.
  return optax.chain(optax.clip_by_global_norm(config.optim.clip_norm), grouped) if config.optim.clip_norm else grouped


def trains(group: Mapping[str, Any], epoch: int | None = None) -> bool:
  """Whether a group of `make_groups` trains in an epoch, or with None: at the end of the run."""
  return group["train"] and (epoch is None or group["epoch"] <= epoch)


def _inner_states(opt_state: Any) -> Mapping[Any, Any]:
  """{group: its state}, with or without clipping before it."""
  return (opt_state if isinstance(opt_state, optax.transforms.PartitionState) else opt_state[-1]).inner_states


def first_state(tx: optax.GradientTransformation, params: Mapping[str, Any]) -> Any:
  """What `tx.init` gives, on the host and without a compilation: all of ours start from zeros."""
  return jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), jax.eval_shape(tx.init, dict(params)))


def carry_over(opt_state: Any, fresh: Any) -> Any:
  """`fresh`, the first state of a later stage's transform, with the states of the groups that have trained so far."""
  old = {name: jax.tree.leaves(state) for name, state in _inner_states(opt_state).items()}
  inner: dict[Any, Any] = {
      name: jax.tree.unflatten(jax.tree.structure(state), old[name]) if old[name] else state
      for name, state in _inner_states(fresh).items()}
  grouped = optax.transforms.PartitionState(inner)
  return grouped if isinstance(fresh, optax.transforms.PartitionState) else (*fresh[:-1], grouped)


def nbytes(tree: Any) -> int:
  """Bytes of the arrays, or their shapes, of a tree; counters (no axes) are not counted."""
  return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if getattr(x, "ndim", 0))


def table(config: ConfigDict, labels: Mapping[str, str], params: Mapping[str, Any], opt_state: Any,
          scales: Mapping[str, float] | None = None) -> list[dict]:
  """One row per group: group, parameters, bytes, optimizer_bytes, train, lr, least_lr, wd, schedule, epoch.

  lr is the largest rate of its parameters and least_lr the least, both after layer decay.
  `opt_state` may be shapes: those of the last stage, in which all that ever trains does.
  """
  states, rows = _inner_states(opt_state), []
  for name, group in make_groups(config).items():
    leaves = {k: params[k] for k, g in labels.items() if g == name}
    factors = [scales[k] if scales else 1.0 for k in leaves] or [1.0]
    rows.append({"group": name, "parameters": sum(x.size for x in leaves.values()), "bytes": nbytes(leaves),
                 "optimizer_bytes": nbytes(states[name]), **group,
                 "lr": group["lr"] * max(factors), "least_lr": group["lr"] * min(factors)})
  return rows
