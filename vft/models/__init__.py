"""One way to a model: `make(name, ...)`. A family is one file here, one in `vft/convert` and one line in FAMILIES."""
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from vft.errors import ConfigError, did_you_mean
from vft.models import heads, i3d

FAMILIES = {"i3d": i3d}
DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}
OPTIONS = ("trained_blocks",)


def make(name: str, *, variant: str = "", num_classes: int = 0,
         tasks: Mapping[str, int] | Sequence[tuple[str, int]] | None = None, head: str = "linear",
         hidden: Sequence[int] = (256, 128), dropout: float = 0.0, dtype: str = "float32", bn: str = "stored",
         **options: Any) -> i3d.I3D:
  """A linen module: `features`, `pool`, `head` and `__call__` (video -> {task: logits (B, K)}).

  Args:
    name, variant: family and size; variant "" is the published one, "tiny" is for tests.
    num_classes: classes of the one task "label", instead of `tasks`; 0 with head="original" is the published number.
    tasks: {task: classes}.
    head, hidden, dropout: linear | mlp | original, widths of the mlp, rate before each dense layer.
    dtype: of the arithmetic, float32 | bfloat16; parameters and logits stay float32.
    bn: stored | batch | estimate, see `layers.ConvUnit`.
    options: `trained_blocks`, the blocks that bn="batch" is about.

  Raises: ConfigError for a name that is not known, with those that are.
  """
  module = FAMILIES[_known("model.name", name, FAMILIES)]
  _known("model.variant", variant, module.VARIANTS)
  _known("model.head", head, heads.KINDS)
  _known("model.dtype", dtype, DTYPES)
  _known("model.bn", bn, ("stored", "batch", "estimate"))
  for option in options:
    _known("model.options", option, OPTIONS)
  trained = tuple(options.get("trained_blocks", ()))
  for block in trained:
    _known("model.options.trained_blocks", block, module.I3D.blocks)
  if not 0 <= dropout < 1:
    raise ConfigError(f"model.dropout is {dropout}; it is a probability: 0 <= dropout < 1.")
  return module.I3D(tasks=_tasks(tasks, num_classes, head), variant=variant, head_kind=head, hidden=tuple(hidden),
                    dropout=dropout, dtype=DTYPES[dtype], bn=bn, trained_blocks=trained)


def _tasks(tasks, num_classes: int, head: str) -> tuple[tuple[str, int], ...]:
  if tasks and num_classes:
    raise ConfigError(f"Give num_classes={num_classes} (one task, 'label') or tasks={tasks}, not both.")
  pairs = tasks.items() if isinstance(tasks, Mapping) else tasks or ()
  pairs = tuple((str(task), int(classes)) for task, classes in pairs)
  if not pairs:
    pairs = (("label", int(num_classes) or (400 if head == "original" else 0)),)
  for task, classes in pairs:
    if classes < 1:
      raise ConfigError(f"Task {task!r} has {classes} classes; set model.num_classes or tasks={{'{task}': 3}}.")
    if "/" in task or task.startswith(("hidden_", "dropout_")):
      raise ConfigError(f"A task cannot be called {task!r}: its name is part of 'head/<task>/kernel'.")
  return pairs


def _known(field: str, value: str, known) -> str:
  if value not in known:
    raise ConfigError(f"{field} is {value!r}; known: {', '.join(repr(k) for k in known)}{did_you_mean(value, known)}")
  return value
