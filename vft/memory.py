"""The memory of a training step: forecast from its compiled program before it first runs, and ways to need less."""
import contextlib
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import psutil
from ml_collections import ConfigDict

from vft.errors import ConfigError, RunError

GIB = 2**30
GROUPS = Path("/sys/fs/cgroup")
# XLA for CPUs removes the barriers between a block and its second computation before it decides when each is done, and
# then does all of them early: 8 small blocks take 13.1 MB, more than the 11.8 without remat; with the barriers 2.4.
KEEP_BARRIERS = {"xla_disable_hlo_passes": "cse_barrier_expander"}


class Need(NamedTuple):
  """Bytes on one device, on CPUs on all of this host's, which share one memory."""
  arguments: int  # parameters, statistics, optimiser and batch: there before the step, and most of them also its result
  results: int  # what the step gives back beside them
  temporaries: int  # activations and gradients

  @property
  def total(self) -> int:
    return sum(self)


class Remedy(NamedTuple):
  """A flag that makes a step smaller, with the fields of the model and the parts of a batch that it means."""
  flag: str
  model: dict[str, Any] | None = None  # None: another batch, whose step is not forecast
  accum: int = 1


def compiler_options(remat: str) -> dict[str, Any]:
  """What a step is compiled with, on the devices of this host."""
  return KEEP_BARRIERS if remat != "none" and jax.default_backend() == "cpu" else {}


def forecast(compiled: Any) -> Need:
  """What XLA has reserved for a compiled step; on CPUs that is what it takes to a few per cent."""
  m = compiled.memory_analysis()
  share = jax.local_device_count() if jax.default_backend() == "cpu" else 1
  return Need(share * m.argument_size_in_bytes, share * (m.output_size_in_bytes - m.alias_size_in_bytes),
              share * m.temp_size_in_bytes)


def room(config: ConfigDict, here: int) -> int:
  """Bytes that a step may take; `here` of them, its arguments, are in memory already."""
  if config.train.memory_gb:
    return int(config.train.memory_gb * GIB)
  stats = jax.local_devices()[0].memory_stats() or {}
  if "bytes_limit" in stats:
    return stats["bytes_limit"]
  return here + int(min(psutil.virtual_memory().available, _group_limit() - psutil.Process().memory_info().rss))


def _group_limit() -> float:
  """Bytes that this process's control group may hold, such as a container's or a SLURM job's; inf where none says."""
  own = Path("/proc/self/cgroup")
  lines = own.read_text().splitlines() if own.is_file() else []
  group = GROUPS.joinpath(*[line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")])
  found = [folder / "memory.max" for folder in (group, *group.parents) if (folder / "memory.max").is_file()]
  return min((float(text) for text in (path.read_text().strip() for path in found) if text != "max"), default=math.inf)


def remedies(config: ConfigDict, factor: float = 2.0) -> list[Remedy]:
  """Ways to a smaller step that are still open, three at least; `factor`: how much too large it is."""
  t, unit, found = config.train, jax.device_count() * config.train.accum, []
  if config.model.remat != "blocks":
    found.append(Remedy("--config.model.remat=blocks", {"remat": "blocks"}, t.accum))
  if parts := [a for a in range(t.accum + 1, t.batch + 1) if t.batch % (a * jax.device_count()) == 0]:
    accum = next((a for a in parts if a >= factor * t.accum), parts[-1])
    found.append(Remedy(f"--config.train.accum={accum}", {}, accum))
  if config.model.dtype == "float32":
    found.append(Remedy("--config.model.dtype=bfloat16", {"dtype": jnp.bfloat16}, t.accum))
  if t.batch > unit:
    found.append(Remedy(f"--config.train.batch={max(t.batch // 2 // unit, 1) * unit}"))
  return [*found, *(Remedy(f"--config.data.{field}={max(config.data[field] // 2, 1)}")
                    for field in ("num_frames", "size", "resize"))][:max(len(found), 3)]


class Ahead:
  """A training step, compiled before it runs for each shape of batch; that program's memory is checked, then it runs.

  Args:
    make: (model, accum) -> jitted step(state, batch) -> (state, ...).
    model, config: as the run has them.

  Its call raises ConfigError where the step does not fit, before anything has been computed.
  """

  def __init__(self, make: Callable[[Any, int], Callable[..., Any]], model: Any, config: ConfigDict):
    self._make, self._model, self._config = make, model, config
    self._compiled: dict[Any, Any] = {}
    self.gib = 0.0  # of the largest so far

  def __call__(self, state: Any, batch: Any) -> Any:
    key = tuple(x.shape for x in jax.tree.leaves(batch))
    if key not in self._compiled:
      self._compiled[key] = compiled = self._compile(self._model, self._config.train.accum, state, batch)
      self._check(forecast(compiled), state, batch)
    return self._compiled[key](state, batch)

  def _compile(self, model: Any, accum: int, state: Any, batch: Any) -> Any:
    """The state comes out where it came in, so that the same program takes it again."""
    step, places = self._make(model, accum), jax.tree.map(lambda x: x.sharding, state)
    whole = jax.jit(lambda state, batch: step(state, batch), donate_argnums=0, out_shardings=(places, None, None, None))
    return whole.lower(state, batch).compile(compiler_options=compiler_options(model.remat))

  def _check(self, need: Need, state: Any, batch: Any) -> None:
    """Says what a step takes, or raises ConfigError with what the first remedies would make of it."""
    limit = room(self._config, need.arguments)
    said = (f"A training step takes {_gib(need.total)} of {_gib(limit)}: {_gib(need.arguments)} parameters, optimiser "
            f"and batch, {_gib(need.temporaries)} activations and gradients")
    if need.total <= limit:
      if need.total / GIB > self.gib:
        print(said, file=sys.stderr)
        self.gib = need.total / GIB
      return
    lines = []
    for remedy in remedies(self._config, need.total / limit)[:3]:
      lines.append(f"  {remedy.flag}")
      if remedy.model is not None:
        model = self._model.clone(**remedy.model)
        smaller = forecast(self._compile(model, remedy.accum, state, batch)).total
        lines[-1] += f"  -> {_gib(smaller)}{', not enough by itself' if smaller > limit else ''}"
    raise ConfigError(f"{said}.\nIt was not run. {_sizes(self._config)}\nMake it smaller by one of these, or several:\n"
                      + "\n".join(lines) + f"\nIf there is room for it: --config.train.memory_gb="
                      f"{math.ceil(need.total / GIB)}")


@contextlib.contextmanager
def explained(config: ConfigDict) -> Iterator[None]:
  """A device that runs out of memory ends in RunError, which says at which sizes and what to do."""
  try:
    yield
  except jax.errors.JaxRuntimeError as e:
    if not any(words in str(e) for words in ("RESOURCE_EXHAUSTED", "Out of memory", "out of memory")):
      raise
    flags = [f"  {remedy.flag}" for remedy in remedies(config)]
    raise RunError(f"The device ran out of memory: {str(e).splitlines()[0]}\n{_sizes(config)}\n"
                   "Use less by one of these, or several:\n" + "\n".join(flags) + "\nand outside of training steps by "
                   "--config.eval.chunk=1 or --config.features.batch=1.\nWith these two and remat the run goes on from "
                   "its last checkpoint; the others need another --workdir.") from e


def _sizes(config: ConfigDict) -> str:
  c = config
  return (f"Batch {c.train.batch} in {c.train.accum} part(s) of {c.train.batch // c.train.accum}, {c.data.num_frames} "
          f"frames of {c.data.size} x {c.data.size}, {c.model.dtype}, remat {c.model.remat}.")


def _gib(count: float) -> str:
  return f"{count / GIB:.{1 if count > 0.95 * GIB else 3}f} GiB"
