"""Steps of a small transformer on (data, fsdp) devices: python -m tests.fsdp_step 8x1 1x8 ... prints a JSON per mesh.

A process of its own, with XLA_FLAGS=--xla_force_host_platform_device_count=8, which jax reads at its start.
"""
import json
import re
import sys
from collections import Counter
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from configs import default
from vft import checkpoint, forward, memory, objective, sharding, stages, train, trees
from vft.models.videomae import Size, VideoMAE
from vft.tasks import Task

TASK = Task(classes=("a", "b", "c"))
STEPS, T, S = 2, 2, 16
COLLECTIVE = re.compile(r"= (.*?) (all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute)(?:-start)?\(")


class Small(VideoMAE):
  """One block, nearly all of whose parameters are matrices."""
  variants: ClassVar[dict[str, Size]] = {"": Size(32, 1, 2, 128)}


def setting(mesh: jax.sharding.Mesh, whole: tuple[str, ...] = ()) -> tuple[Any, Any, Any]:
  """(step, first state, config) of a run in which everything trains."""
  c = default.get_config()
  c.data.update(num_frames=T, resize=S, size=S)
  c.groups = dict(all=dict(train=True, lr=1e-3, schedule="constant"))
  c.rules, c.optim.warmup, c.optim.eps = ((".*", "all"),), 0.0, 1e-3  # no sign of a gradient near 0 decides
  model = Small(spec=VideoMAE.original._replace(dropout=0.0))
  params = trees.flatten(jax.jit(model.init)(jax.random.key(0), jnp.zeros((1, T, S, S, 3)))["params"])
  rng = np.random.default_rng(0)
  params = {k: np.asarray(x) + rng.normal(0, 0.02, x.shape).astype(np.float32) for k, x in params.items()}
  (stage,) = stages.make(c, model, params, {}, STEPS)

  def make(model: Any, accum: int) -> Any:
    pixels = forward.make_pixels(c, model)
    def run(*args: Any, **options: Any) -> Any:
      return forward.logits(model, *args, pixels=pixels, train=True, train_trunk=True, **options)
    loss = objective.make_loss(c, (TASK,), {"label": np.arange(3)})
    return train.make_train_step(run, loss, stage.tx, stage.trained, accum=accum, mesh=mesh)
  return memory.Ahead(make, stage.model, c), train.make_state(params, {}, stage.tx, mesh, whole=whole), c


def batch(seed: int, size: int = 8) -> dict[str, Any]:
  """Clips of noise."""
  rng = np.random.default_rng(seed)
  return {"video": rng.integers(0, 256, (size, 1, T, S, S, 3), np.uint8), "row": np.arange(size, dtype=np.int32),
          "label": {"label": rng.integers(0, 3, size).astype(np.int32)}, "copy": np.zeros(size, np.int32),
          "mask": np.arange(size) != 5}


def share(state: train.TrainState) -> float:
  """Bytes of parameters and optimiser on the device that has most of them, over those of the whole."""
  on: Counter[Any] = Counter()
  leaves = jax.tree.leaves((state.params, state.opt_state))
  for x in leaves:
    for part in x.addressable_shards:
      on[part.device] += part.data.nbytes
  return max(on.values()) / sum(x.nbytes for x in leaves)


def collectives(text: str) -> list[tuple[str, tuple[int, ...]]]:
  """(kind, shape) of the result of every collective in a compiled program; a fused one counts for each of its parts."""
  found = []
  for types, kind in (match.groups() for line in text.splitlines() if (match := COLLECTIVE.search(line))):
    for dims in re.findall(r"\w+\[([\d,]*)\]", types):
      found.append((kind, tuple(int(n) for n in dims.split(",") if n)))
  return found


def main(shapes: list[str]) -> None:
  """Prints losses, share of the memory, collectives and a digest's worth of parameters of each mesh."""
  first: dict[str, np.ndarray] = {}
  for shape in shapes:
    data, fsdp = map(int, shape.split("x"))
    devices = np.array(jax.devices()[:data * fsdp]).reshape(data, fsdp)
    mesh = jax.sharding.Mesh(devices, ("data", "fsdp"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    step, state, _ = setting(mesh)
    start, losses = share(state), []
    for number in range(STEPS):
      state, sums, _, fine = step(state, sharding.put_batch(batch(number), mesh))
      assert fine
      losses.append(float(sums.compute()["loss"]))
    held = sharding.fetch(checkpoint.pack(state.params, {}, state.opt_state, frozenset(state.params))["params"])
    first = first or held
    (program,) = step._compiled.values()
    print(json.dumps({
        "mesh": shape, "losses": losses, "share_before": start, "share": share(state),
        "apart": max(float(np.max(np.abs(held[k] - first[k]) / (1e-3 + np.abs(first[k])))) for k in held),
        "shapes": {k: x.shape for k, x in held.items()}, "batch": [list(x.shape) for x in jax.tree.leaves(batch(0))],
        "split": [k for k, x in state.params.items() if not x.sharding.is_fully_replicated],
        "collectives": collectives(program.as_text())}))


if __name__ == "__main__":
  main(sys.argv[1:])
