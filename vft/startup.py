"""Start-up: init(seed) -> base weights, or random ones with estimated statistics -> head of a probe -> checkpoint."""
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from ml_collections import ConfigDict

from vft import convert, forward, head_file, lora, models, sharding, stages, train, trees
from vft.convert import registry
from vft.errors import ConfigError
from vft.saver import Saver
from vft.tasks import Task


@dataclass(frozen=True)
class Start:
  """A model with its first values; flat trees."""
  model: Any
  params: dict[str, Any]
  batch_stats: dict[str, Any]
  loaded: frozenset[str]  # names whose values came from the base weights
  base: dict[str, Any]  # {"name", "sha256"}: the identity of the base, held by every checkpoint
  report: dict[str, Any]  # what weights.json holds
  summary: str  # the report in a few lines


def make_model(config: ConfigDict, tasks: tuple[Task, ...]) -> Any:
  """The linen module that the config asks for. Raises ConfigError when num_classes differs from the data's."""
  m = config.model
  first = next(iter(tasks))
  classes = first.classes
  if m.num_classes and len(tasks) > 1:
    raise ConfigError(f"config.model.num_classes is {m.num_classes}, but there are the tasks "
                      f"{', '.join(t.name for t in tasks)}.\nSet it to 0: the classes of each are counted.")
  if m.num_classes and m.num_classes != len(classes):
    raise ConfigError(f"config.model.num_classes is {m.num_classes}, but the data has {len(classes)} classes"
                      f"{': ' if classes else ''}{', '.join(classes[:20])}.\nSet it to "
                      f"{f'{len(classes)}, or to 0 to count them' if classes else '0'}.")
  asked = config.init.weights and not (m.mean and m.std)
  stated = registry.statistics(config.init.weights) if asked else ((), ())
  mean, std = m.mean or stated[0], m.std or stated[1]  # () = the family's
  return models.make(m.name, variant=m.variant, tasks={t.name: t.outputs for t in tasks}, head=m.head, pool=m.pool,
                     temporal=m.temporal, hidden=m.hidden, dropout=m.dropout, depth=m.depth, stages=m.stages,
                     unit=config.sequence.unit, kinds={t.name: t.kind for t in tasks if t.kind != "single"},
                     mean=mean, std=std, dtype=m.dtype, bn=m.bn, drop_path=m.drop_path, remat=m.remat,
                     lora_alpha=config.lora.alpha, **m.options.to_dict())


def first_values(model: nn.Module, seed: int, shape: tuple[int, ...], keep: tuple[str, ...]) -> dict[str, Any]:
  """init(seed) of the names that match `keep`; the others, soon to be loaded, are zeros and cost no time."""
  key, video = jax.random.key(seed), jnp.zeros(shape)
  shapes = {"batch_stats": {}, **jax.eval_shape(model.init, key, video)}

  def kept(tree):
    return {name: x for name, x in trees.flatten(tree).items() if trees.matches(name, keep)}

  @jax.jit
  def draw():
    return {kind: kept(tree) for kind, tree in model.init(key, video).items()}
  drawn = draw()
  values = {kind: {name: np.zeros(x.shape, x.dtype) for name, x in trees.flatten(tree).items()}
            for kind, tree in shapes.items()}
  return {kind: trees.unflatten({**flat, **jax.tree.map(np.asarray, drawn.get(kind, {}))})
          for kind, flat in values.items()}


def head_values(begin: "Start", config: ConfigDict, seed: int) -> dict[str, Any]:
  """{"head/...": value} of init(seed), where those of `begin` are of config.seed; what was loaded is the same."""
  head = {name: x for name, x in begin.params.items() if name.startswith("head/")}
  if seed == config.seed:
    return head
  drawn = trees.flatten(first_values(begin.model, seed, input_shape(config), ("head/.*",))["params"])
  return {name: x if name in begin.loaded else drawn[name] for name, x in head.items()}


def input_shape(config: ConfigDict) -> tuple[int, ...]:
  """(1, T, H, W, C) of a clip."""
  return (1, config.data.num_frames, config.data.size, config.data.size, config.data.channels)


def start(config: ConfigDict, tasks: tuple[Task, ...],
          clips: Callable[[], Iterable[Mapping[str, Any]]]) -> Start:
  """Builds the model and its first values.

  Args:
    config: the fields model, init, data and seed.
    tasks: what is predicted.
    clips: makes an iterator of training batches; only used to estimate BatchNorm statistics of a random trunk.
  """
  model = make_model(config, tasks)
  keep = tuple(config.init.keep_init) if config.init.weights else (".*",)
  variables = first_values(model, config.seed, input_shape(config), keep)
  if config.init.weights:
    variables, report = convert.load(variables, config.init.weights, model=model, keep_init=keep,
                                     layout=config.init.layout, inflate=config.init.inflate,
                                     classes=next(iter(tasks)).classes if config.init.map_labels else ())
    loaded = frozenset(name for name, _ in [*report.loaded, *report.resized])
    base, saved, said = {"name": config.init.weights, "sha256": report.sha256}, report.to_json(), str(report)
  else:
    said = "weights random (He), BatchNorm statistics estimated on training clips"
    loaded, base, saved = frozenset(), {"name": "", "sha256": ""}, {"source": said}
  params, stats = trees.flatten(variables["params"]), trees.flatten(variables["batch_stats"])
  if not config.init.weights and stats:
    stats = estimate_stats(model, params, stats, clips(), forward.make_pixels(config, model))
  return Start(model, {**params, **lora.make(params, config)}, stats, loaded, base, saved, said)


def estimate_stats(model: nn.Module, params: Mapping[str, Any], stats: Mapping[str, Any],
                   batches: Iterable[Mapping[str, Any]], pixels: forward.Pixels) -> dict[str, Any]:
  """BatchNorm statistics of a random trunk: the mean over batches of training clips, each normalised by its own."""
  estimator = model.clone(bn="estimate")

  @jax.jit
  def one(batch):
    out = estimator.apply(forward.variables(model, params, stats), forward.inputs(batch, pixels, False),
                          mutable=["batch_stats"], method="features")[1]
    return trees.flatten(out["batch_stats"])
  total, count = None, 0
  for batch in batches:
    new = one({"video": batch["video"]})
    total = new if total is None else jax.tree.map(jnp.add, total, new)
    count += 1
  return dict(stats) if total is None else {name: np.asarray(x / count) for name, x in total.items()}


@dataclass(frozen=True)
class Prepared:
  """A run before its first step, or where its newest checkpoint left it."""
  model: Any  # as it is evaluated
  pixels: forward.Pixels
  stages: tuple[stages.Stage, ...]
  state: train.TrainState
  saver: Saver
  blocks: tuple[str, ...]  # of the trunk that train at the end of the run; () where only the head does
  table: list[dict[str, Any]]  # what trains, from `optim.table`
  report: dict[str, Any]
  summary: str


def prepare(config: ConfigDict, tasks: tuple[Task, ...], manifest_sha256: str, folder: Path,
            mesh: jax.sharding.Mesh, steps: int, clips: Callable[[], Iterable[Mapping[str, Any]]]) -> Prepared:
  """First values, then what trains, then the newest valid checkpoint of the folder over them; opens no data.

  Raises ConfigError where the rules do not fit or nothing trains, WeightsError where base or checkpoint do not fit.
  """
  return ready(start(config, tasks, clips), config, tasks, manifest_sha256, folder, mesh, steps)


def ready(begin: Start, config: ConfigDict, tasks: tuple[Task, ...], manifest_sha256: str, folder: Path,
          mesh: jax.sharding.Mesh, steps: int) -> Prepared:
  """`prepare` of a model that has its first values."""
  run, probe = stages.make(config, begin.model, begin.params, begin.batch_stats, steps), config.init.from_probe
  loaded = frozenset(name for name in begin.loaded if not (probe and name.startswith("head/")))
  saver = Saver(folder / "checkpoints", run, {**begin.params, **begin.batch_stats}, loaded,
                {"base": begin.base, "manifest": manifest_sha256, "classes": {t.name: list(t.classes) for t in tasks},
                 **({"probe": probe} if probe else {})})
  if probe:
    begin = _with_head(begin, probe, tasks, manifest_sha256, read=saver.store.newest() is None)
  averaged = run[0].trained if config.train.ema else frozenset()
  whole = config.mesh.whole
  state = train.make_state(begin.params, begin.batch_stats, run[0].tx, mesh, averaged, whole)
  state = sharding.put(saver.restore(state, saver.store.newest()), mesh, whole)
  return Prepared(begin.model, forward.make_pixels(config, begin.model), run, state, saver, run[-1].blocks,
                  stages.table(config, run, begin.model, begin.params), begin.report, begin.summary)


def _with_head(begin: Start, folder: str, tasks: tuple[Task, ...], manifest_sha256: str, read: bool) -> Start:
  """The same with the head of a probe; a run with a checkpoint of its own has it there, and needs no probe any more."""
  report = {**begin.report, "head": {"from_probe": folder}}
  if not read:
    return dataclasses.replace(begin, report=report)
  want = head_file.identity(begin.model, tasks, begin.params, begin.batch_stats, manifest_sha256)
  head, point = head_file.load(folder, want, begin.params)
  report["head"] |= point
  said = f"{begin.summary}\nhead of the probe {folder}: {', '.join(f'{k} {v}' for k, v in point.items())}"
  return dataclasses.replace(begin, params={**begin.params, **head}, report=report, summary=said)
