"""First values of a run: init(seed) -> base weights, or random ones with estimated BatchNorm statistics."""
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from vft import convert, forward, models, trees
from vft.errors import ConfigError


@dataclass(frozen=True)
class Start:
  """A model with its first values; flat trees."""
  model: Any
  params: dict[str, Any]
  batch_stats: dict[str, Any]
  loaded: frozenset[str]  # names whose values came from the base weights
  base: dict[str, Any]  # {"name", "sha256"}: the identity of the base, held by every checkpoint
  report: dict[str, Any]  # what weights.json holds


def make_model(config: ConfigDict, classes: tuple[str, ...]) -> Any:
  """The linen module that the config asks for. Raises ConfigError when num_classes differs from the data's."""
  m = config.model
  if m.num_classes not in (0, len(classes)):
    raise ConfigError(f"config.model.num_classes is {m.num_classes}, but the data has {len(classes)} classes: "
                      f"{', '.join(classes[:20])}.\nSet it to {len(classes)}, or to 0 to count them.")
  num = 400 if m.head == "original" and not classes else len(classes)
  return models.make(m.name, variant=m.variant, num_classes=num, head=m.head, hidden=tuple(m.hidden), dropout=m.dropout,
                     dtype=m.dtype, bn=m.bn, **m.options.to_dict())


def start(config: ConfigDict, classes: tuple[str, ...],
          clips: Callable[[], Iterable[Mapping[str, Any]]]) -> Start:
  """Builds the model and its first values.

  Args:
    config: the fields model, init, data and seed.
    classes: names of the classes, in order.
    clips: makes an iterator of training batches; only used to estimate BatchNorm statistics of a random trunk.
  """
  model = make_model(config, classes)
  shape = (1, config.data.num_frames, config.data.size, config.data.size, 3)
  variables = jax.jit(model.init)(jax.random.key(config.seed), jnp.zeros(shape))
  variables = jax.tree.map(np.asarray, {"batch_stats": {}, **variables})
  if config.init.weights:
    variables, report = convert.load(variables, config.init.weights, model=model, keep_init=tuple(config.init.keep_init))
    loaded = frozenset(name.split("/", 1)[1] for name in report.names)
    base, saved = {"name": config.init.weights, "sha256": report.sha256}, report.to_json()
  else:
    loaded, base, saved = frozenset(), {"name": "", "sha256": ""}, {"source": "random (He), BatchNorm estimated"}
  params, stats = trees.flatten(variables["params"]), trees.flatten(variables["batch_stats"])
  if not config.init.weights and stats:
    stats = estimate_stats(model, params, stats, clips(), forward.make_pixels(config, model))
  return Start(model, params, stats, loaded, base, saved)


def estimate_stats(model: nn.Module, params: Mapping[str, Any], stats: Mapping[str, Any],
                   batches: Iterable[Mapping[str, Any]], pixels: forward.Pixels) -> dict[str, Any]:
  """BatchNorm statistics of a random trunk: the mean over batches of training clips, each normalised by its own."""
  estimator = model.clone(bn="estimate")

  @jax.jit
  def one(batch):
    out = estimator.apply(forward.variables(params, stats), forward.inputs(batch, pixels, False),
                          mutable=["batch_stats"], method="features")[1]
    return trees.flatten(out["batch_stats"])
  total, count = None, 0
  for batch in batches:
    new = one({"video": batch["video"]})
    total = new if total is None else jax.tree.map(jnp.add, total, new)
    count += 1
  return {name: np.asarray(x / count) for name, x in (total or {}).items()}
