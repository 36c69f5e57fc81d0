"""Where arrays live: a mesh ("data", "fsdp"), the batch split over both axes, parameters over the second one."""
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vft import trees
from vft.errors import ConfigError

SMALL = 1024  # numbers; an array of fewer stays whole, since fetching its parts would cost more than it saves


def make_mesh(fsdp: int = 1) -> Mesh:
  """All devices as (data, fsdp), those of a process beside each other, so that it holds one part of a batch.

  Raises ConfigError when fsdp does not divide their number.
  """
  count = jax.device_count()
  if count % fsdp:
    possible = [n for n in range(1, count + 1) if count % n == 0]
    raise ConfigError(f"config.mesh.fsdp is {fsdp}, which does not divide the {count} devices; expected one of "
                      f"{possible}: type --config.mesh.fsdp={max(n for n in possible if n <= max(fsdp, 1))}.")
  # Auto axes: with Explicit ones, jax.make_mesh's default, linen models with a class token fail on two devices.
  shape, names, axes = (count // fsdp, fsdp), ("data", "fsdp"), (AxisType.Auto, AxisType.Auto)
  if jax.process_count() == 1:
    return jax.make_mesh(shape, names, axis_types=axes)
  devices = sorted(jax.devices(), key=lambda d: (d.process_index, d.id))
  return Mesh(np.array(devices).reshape(shape), names, axis_types=axes)


def process() -> tuple[int, int]:
  """(number of this process, number of processes)."""
  return jax.process_index(), jax.process_count()


def check_batch(batch: int, accum: int) -> None:
  """Raises ConfigError unless every device gets the same number of clips in each part of a batch."""
  count, unit = jax.device_count(), jax.device_count() * accum
  if batch % unit:
    low = batch // unit * unit
    use = f"{low} or {low + unit}" if low else f"{unit}"
    raise ConfigError(f"config.train.batch is {batch}, devices {count}, config.train.accum {accum}: "
                      f"use --config.train.batch={use}.")


def replicated(mesh: Mesh) -> NamedSharding:
  """The same on every device."""
  return NamedSharding(mesh, PartitionSpec())


def batch_sharding(mesh: Mesh) -> NamedSharding:
  """First axis over all devices."""
  return NamedSharding(mesh, PartitionSpec(("data", "fsdp")))


def put_batch(batch: Mapping[str, Any], mesh: Mesh) -> dict[str, Any]:
  """This process's part of a batch -> global arrays. float64 (times) stays on the host."""
  where = batch_sharding(mesh)
  on_device = {k: v for k, v in batch.items() if not (isinstance(v, np.ndarray) and v.dtype == np.float64)}
  return jax.tree.map(lambda x: jax.make_array_from_process_local_data(where, x), on_device)


def place(name: str, shape: Sequence[int], mesh: Mesh, whole: Sequence[str] = ()) -> NamedSharding:
  """Of a parameter, or what the optimiser keeps of one: its longest axis that fsdp divides is split over fsdp.

  Arrays under SMALL, those without such an axis and those whose name matches one of `whole` are on every device.
  """
  parts = mesh.shape["fsdp"]
  fit = [axis for axis, size in enumerate(shape) if size % parts == 0]
  if parts == 1 or math.prod(shape) < SMALL or not fit or trees.matches(name, tuple(whole)):
    return replicated(mesh)
  axis = max(fit, key=lambda a: shape[a])
  return NamedSharding(mesh, PartitionSpec(*[None] * axis, "fsdp"))


def places(tree: Any, mesh: Mesh, whole: Sequence[str] = ()) -> Any:
  """`place` of every leaf; the last key of its path is its name."""
  def of(path: tuple[Any, ...], leaf: Any) -> NamedSharding:
    return place(str(getattr(path[-1], "key", "")) if path else "", np.shape(leaf), mesh, whole)
  return jax.tree_util.tree_map_with_path(of, tree)


def put(tree: Any, mesh: Mesh, whole: Sequence[str] = ()) -> Any:
  """Arrays, the same in every process -> global ones, where `places` wants them."""
  return jax.tree.map(put_at, tree, places(tree, mesh, whole))


def put_at(x: Any, where: Any) -> Any:
  """An array, the same in every process, laid out as a sharding says."""
  if jax.process_count() == 1:
    return jax.device_put(x, where)
  if isinstance(x, jax.Array) and x.sharding == where:
    return x
  held = fetch(x)  # jax.device_put would compare it across all processes, one collective a leaf
  return jax.make_array_from_callback(held.shape, where, lambda index: held[index])


def fetch(tree: Any) -> Any:
  """The same on the host of every process; all must call it where arrays are split over processes."""
  def of(x: Any) -> Any:
    if isinstance(x, jax.Array) and not x.is_fully_addressable and not x.is_fully_replicated:
      x = jax.jit(lambda x: x, out_shardings=replicated(x.sharding.mesh))(x)  # pyright: ignore
    return np.asarray(x)
  return jax.tree.map(of, tree)


def gathered(tree: Any, mesh: Mesh | None) -> Any:
  """Inside of jit: the same, whole on every device for as long as it is used; its gradient is split as the tree was.

  Without this XLA may as well split the products, and move activations, which are larger. `mesh` None: as it is.
  """
  if mesh is None or mesh.shape["fsdp"] == 1:
    return tree
  def of(path: tuple[Any, ...], x: jax.Array) -> jax.Array:
    return _gathered(x, replicated(mesh), place(str(getattr(path[-1], "key", "")), x.shape, mesh))
  return jax.tree_util.tree_map_with_path(of, tree)


def _gathered(x: jax.Array, whole: NamedSharding, split: NamedSharding) -> jax.Array:
  @jax.custom_vjp
  def gather(x: jax.Array) -> jax.Array:
    return jax.lax.with_sharding_constraint(x, whole)
  gather.defvjp(lambda x: (gather(x), None), lambda _, g: (jax.lax.with_sharding_constraint(g, split),))
  return gather(x)
