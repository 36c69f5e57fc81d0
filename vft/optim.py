"""Groups -> optax.multi_transform: zero updates for frozen groups, a rate, decay and schedule of its own for others."""
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from ml_collections import ConfigDict


def make_groups(config: ConfigDict) -> dict[str, dict[str, Any]]:
  """{group: dict(train, lr, wd, schedule)}, with missing keys from config.optim.group."""
  return {name: {**config.optim.group.to_dict(), **group.to_dict()} for name, group in config.groups.items()}


def make_schedule(kind: str, lr: float, steps: int, warmup: int) -> optax.Schedule:
  """A climb from 0 over `warmup` steps, then constant, or down to 0 at `steps` by a line or half a cosine."""
  left = max(steps - warmup, 1)
  after = {"constant": lambda: optax.constant_schedule(lr),
           "linear": lambda: optax.linear_schedule(lr, 0.0, left),
           "cosine": lambda: optax.cosine_decay_schedule(lr, left)}[kind]()
  return optax.join_schedules([optax.linear_schedule(0.0, lr, warmup), after], [warmup]) if warmup else after


def _make_inner(config: ConfigDict, group: Mapping[str, Any], steps: int) -> optax.GradientTransformation:
  if not group["train"]:
    return optax.set_to_zero()
  o = config.optim
  direction = optax.trace(o.momentum) if o.name == "sgd" else optax.scale_by_adam(o.b1, o.b2, o.eps)
  schedule = make_schedule(group["schedule"], group["lr"], steps, round(o.warmup * steps))
  # Decay acts on kernels only: biases and scales (one axis) stay free, as in the published recipes.
  decay = optax.add_decayed_weights(group["wd"], mask=lambda p: jax.tree.map(lambda x: jnp.ndim(x) > 1, p))
  return optax.chain(direction, decay, optax.scale_by_learning_rate(schedule))


def make_optimizer(config: ConfigDict, labels: Mapping[str, str], steps: int) -> optax.GradientTransformation:
  """The transform of a flat tree of parameters.

  Args:
    config: the fields groups and optim.
    labels: {parameter name: group}, from `trees.assign`.
    steps: steps of the whole run, on which the schedules depend.
  """
  inner: dict[Any, optax.GradientTransformation] = {
      name: _make_inner(config, group, steps) for name, group in make_groups(config).items()}
  grouped = optax.multi_transform(inner, dict(labels))
  # Gradients of frozen leaves are zeros here, so the norm is that of what trains.
  return optax.chain(optax.clip_by_global_norm(config.optim.clip_norm), grouped) if config.optim.clip_norm else grouped


def nbytes(tree: Any) -> int:
  """Bytes of the arrays of a tree; counters (no axes) are not counted."""
  return sum(x.nbytes for x in jax.tree.leaves(tree) if getattr(x, "ndim", 0))


def table(config: ConfigDict, labels: Mapping[str, str], params: Mapping[str, Any], opt_state: Any) -> list[dict]:
  """One row per group: group, train, parameters, bytes, optimizer_bytes, lr, wd, schedule."""
  states = opt_state[-1].inner_states if config.optim.clip_norm else opt_state.inner_states
  rows = []
  for name, group in make_groups(config).items():
    leaves = [params[k] for k, g in labels.items() if g == name]
    rows.append(dict(group=name, parameters=sum(x.size for x in leaves), bytes=nbytes(leaves),
                     optimizer_bytes=nbytes(states[name]), **group))
  return rows
