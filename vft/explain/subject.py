"""What is explained: one output of one model, and the scores that it gives to clips."""
import dataclasses
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vft import objective
from vft.errors import ConfigError, did_you_mean
from vft.tasks import Task, median


class Target(NamedTuple):
  """One output of one task. Hashable."""
  task: Task
  output: int

  @property
  def name(self) -> str:
    return self.task.classes[self.output] if self.task.classes else self.task.name

  def score(self, logits: dict[str, jax.Array]) -> jax.Array:
    """(B,): the logit of a class or label, a regression's output, the probability of a grade."""
    x = logits[self.task.name]
    return (objective.values(self.task, x) if self.task.kind == "ordinal" else x)[:, self.output]


@dataclasses.dataclass(frozen=True)
class Subject:
  """A model with its variables, the output that is asked about, and the channels of its input, 3 or 1."""
  model: Any
  variables: Any
  target: Target
  channels: int = 3

  def score(self, video: jax.Array | np.ndarray) -> np.ndarray:
    """Normalised video (B, T, H, W, C) -> (B,)."""
    return np.asarray(self.target.score(logits(self.model, self.variables, video)))

  @property
  def black(self) -> np.ndarray:
    """What a black pixel is after normalisation: (C,)."""
    mean, std = np.asarray(self.model.mean, np.float32), np.asarray(self.model.std, np.float32)
    if self.channels == 1:  # as forward.make_pixels
      mean, std = mean.mean(keepdims=True), std.mean(keepdims=True)
    return -mean / std


@partial(jax.jit, static_argnums=0)
def logits(model: Any, variables: Any, video: jax.Array | np.ndarray) -> dict[str, jax.Array]:
  """Normalised video (B, T, H, W, C) -> {task: (B, K)}."""
  return model.apply(variables, video)


def find_target(tasks: tuple[Task, ...], asked: str, outputs: dict[str, np.ndarray]) -> Target:
  """The target called "class" or "task=class" or "task"; "" is what the first task's outputs (1, K) say.

  Raises ConfigError for a name that is not known, with those that are.
  """
  if not asked:
    task, first = tasks[0], outputs[tasks[0].name]
    return Target(task, int(median(first)[0]) if task.kind == "ordinal" else int(np.argmax(first[0])))
  known = {}
  for task in tasks:
    for i, name in enumerate(task.classes or ("",)):
      target = Target(task, i)
      known[f"{task.name}={name}" if name else task.name] = target
      known.setdefault(name or task.name, target)
  if asked not in known:
    raise ConfigError(f"--target is {asked!r}; known: {', '.join(map(repr, known))}{did_you_mean(asked, known)}")
  return known[asked]


def to_video(values: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
  """A map (B, T', H', W') -> (B, T, H, W), linear between the centres of its cells."""
  out = jax.image.resize(jnp.asarray(values, jnp.float32), (len(values), *shape), "linear", antialias=False)
  return np.asarray(out)
