"""Thawing: the stages of a run, each with what trains, its transform and one compiled step."""
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
import optax
from ml_collections import ConfigDict

from vft import lora, optim, sharding, trees
from vft.errors import ConfigError


@dataclass(frozen=True)
class Stage:
  """The steps in which the same parameters train: after `start` and up to `until`."""
  number: int
  start: int
  until: int
  trained: frozenset[str]
  blocks: tuple[str, ...]  # of the trunk that train; () where only the head does
  moved: frozenset[str]  # statistics that training moves
  model: Any
  tx: optax.GradientTransformation


def make(config: ConfigDict, model: Any, params: Mapping[str, Any], batch_stats: Mapping[str, Any],
         steps: int) -> tuple[Stage, ...]:
  """The stages of a run of `steps`: one, and one more for each of config.train.stages.

  Args:
    model: from `models.make`; a stage's own knows which of its blocks train.
    params, batch_stats: flat.

  Raises ConfigError where the rules do not fit, or nothing trains in the first stage.
  """
  labels, groups = trees.assign(params, config.rules), optim.make_groups(config)
  scales, found = optim.layer_scales(config, list(params), model.blocks), []
  epochs = [0, *(epoch for epoch, _ in config.train.stages), config.train.epochs]
  for number, (epoch, end) in enumerate(itertools.pairwise(epochs)):
    trained = frozenset(name for name, group in labels.items() if optim.trains(groups[group], epoch))
    if not trained:
      raise ConfigError("No group trains from the first step on: set train=True in one of config.groups that "
                        "config.train.stages does not name.")
    blocks = tuple(sorted({lora.block_of(name) for name in trained} - {"head"}))
    batch = config.model.bn == "batch"
    found.append(Stage(
        number, optim.first_step(config, epoch, steps), optim.first_step(config, end, steps), trained, blocks,
        moved=frozenset(name for name in batch_stats if batch and name.split("/")[0] in blocks),
        model=model.clone(trained_blocks=blocks),
        tx=optim.make_optimizer(config, labels, steps, epoch=epoch, scales=scales)))
  lora.check(config, found[-1].trained)
  return tuple(found)


def table(config: ConfigDict, stages: Sequence[Stage], model: Any, params: Mapping[str, Any]) -> list[dict[str, Any]]:
  """`optim.table` of all that ever trains."""
  labels, scales = trees.assign(params, config.rules), optim.layer_scales(config, list(params), model.blocks)
  return optim.table(config, labels, params, jax.eval_shape(stages[-1].tx.init, dict(params)), scales)


def left(stages: Sequence[Stage], step: int, finished: bool) -> Sequence[Stage]:
  """The stages with steps still to do after `step`; where there are none, the one in which the run ended."""
  rest = [] if finished else [stage for stage in stages if stage.until > step]
  return rest or [of(stages, step)]


def of(stages: Sequence[Stage], step: int) -> Stage:
  """The stage that did a step; what is saved after its last one is still its own."""
  return next(stage for stage in stages if step <= stage.until)


def enter(stage: Stage, state: Any, mesh: jax.sharding.Mesh, whole: Sequence[str] = ()) -> Any:
  """A `train.TrainState` as this stage needs it: states of the groups that go on are kept, thawed ones start."""
  opt_state = optim.carry_over(state.opt_state, optim.first_state(stage.tx, state.params))
  new = stage.trained - set(state.ema) if state.ema else ()
  ema = {**state.ema, **{name: np.array(state.params[name]) for name in new}}  # copies, as in train.make_state
  return state.replace(**sharding.put(dict(opt_state=opt_state, ema=ema), mesh, whole))
