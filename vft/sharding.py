"""Where arrays live: a mesh ("data", "fsdp"), the batch split over both axes, parameters on every device."""
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from vft.errors import ConfigError


def make_mesh(fsdp: int = 1) -> Mesh:
  """All devices as (data, fsdp). Raises ConfigError when fsdp does not divide their number."""
  count = jax.device_count()
  if count % fsdp:
    raise ConfigError(f"config.mesh.fsdp is {fsdp}, which does not divide the {count} devices.")
  # Auto axes: with Explicit ones, jax.make_mesh's default, linen models with a class token fail on two devices.
  return jax.make_mesh((count // fsdp, fsdp), ("data", "fsdp"), axis_types=(AxisType.Auto, AxisType.Auto))


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
