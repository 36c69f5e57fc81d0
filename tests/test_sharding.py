"""Where arrays live on eight devices: equal results however they are split, and the memory and traffic of each way."""
import json
import math
from collections import Counter

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec

from tests import tiny
from vft import sharding
from vft.errors import ConfigError

MESHES = ("1x1", "8x1", "1x8", "2x4")


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
  """{mesh: what tests/fsdp_step.py says of it}."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=8")
    process = tiny.start_process("-m", "tests.fsdp_step", *MESHES, cwd=tmp_path_factory.mktemp("fsdp"))
    out, err = process.communicate()
  assert process.returncode == 0, err
  return {said["mesh"]: said for said in map(json.loads, out.splitlines())}


@pytest.mark.parametrize("mesh", MESHES[1:])
def test_losses_and_parameters_equal_those_of_one_device(steps, mesh):
  np.testing.assert_allclose(steps[mesh]["losses"], steps["1x1"]["losses"], rtol=1e-5)
  assert steps[mesh]["apart"] <= 1e-5


@pytest.mark.parametrize(("mesh", "parts"), [("8x1", 1), ("1x8", 8), ("2x4", 4)])
def test_a_device_holds_its_part_of_parameters_and_optimiser_before_and_after_steps(steps, mesh, parts):
  for share in (steps[mesh]["share_before"], steps[mesh]["share"]):
    assert 1 / parts <= share <= 1.1 / parts


def numbers(said, *kinds):
  return sum(math.prod(shape) for kind, shape in said["collectives"] if kind in kinds)


def test_data_parallel_steps_sum_each_gradient_once_and_gather_no_parameter(steps):
  said = steps["8x1"]
  sizes = [math.prod(shape) for shape in said["shapes"].values()]
  assert numbers(said, "all-reduce", "reduce-scatter") == pytest.approx(sum(sizes), rel=0.02)
  assert numbers(said, "all-gather", "all-to-all", "collective-permute") <= 64  # keys of dropout and the like


@pytest.mark.parametrize("mesh", ["1x8", "2x4"])
def test_split_parameters_are_gathered_once_and_their_gradients_summed_once(steps, mesh):
  said, parts = steps[mesh], int(mesh[-1])
  split = Counter(math.prod(said["shapes"][name]) for name in said["split"])
  gathered = Counter(math.prod(shape) for kind, shape in said["collectives"] if kind == "all-gather")
  assert split and {size: gathered[size] for size in split} == split
  whole, want = numbers(said, "all-reduce"), sum(math.prod(s) for s in said["shapes"].values())
  if int(mesh[0]) > 1:  # then the parts of the copies are summed
    want += sum(size * count for size, count in split.items()) / parts
  scattered = numbers(said, "reduce-scatter") * parts
  assert whole + scattered == pytest.approx(want, rel=0.02)  # XLA for CPUs sums, then takes its part


@pytest.mark.parametrize("mesh", MESHES[1:])
def test_no_batch_or_activation_is_gathered(steps, mesh):
  said = steps[mesh]
  parameters = {math.prod(shape) for shape in said["shapes"].values()}
  others = [shape for kind, shape in said["collectives"] if kind in ("all-gather", "all-to-all")
            and math.prod(shape) not in parameters and math.prod(shape) > 64]
  assert others == []


def test_the_longest_axis_that_divides_is_split_and_small_or_named_arrays_stay_whole():
  mesh = sharding.make_mesh(4)

  def spec(*shape, name="block/kernel", whole=()):
    return sharding.place(name, shape, mesh, whole).spec
  assert spec(3, 400, 100) == PartitionSpec(None, "fsdp")
  assert spec(401, 100) == PartitionSpec(None, "fsdp") and spec(401, 101) == spec(16, 16) == PartitionSpec()
  assert spec(400, 100, whole=("block/.*",)) == PartitionSpec()
  assert spec(400, 100, whole=("block",)) == PartitionSpec("fsdp")


def test_a_number_that_does_not_divide_the_devices_is_refused_with_those_that_do():
  with pytest.raises(ConfigError, match=r"fsdp is 3, .* the 4 devices; expected one of \[1, 2, 4\]: .*fsdp=2"):
    sharding.make_mesh(3)


def test_the_slots_of_the_optimiser_lie_where_their_parameters_do():
  mesh = sharding.make_mesh(4)
  tree = {"mu": {"a/kernel": np.zeros((64, 64)), "a/bias": np.zeros(64)}, "count": np.zeros((), np.int32)}
  placed = jax.tree.map(lambda x: x.sharding.spec, sharding.put(tree, mesh))
  assert placed == {"mu": {"a/kernel": PartitionSpec("fsdp"), "a/bias": PartitionSpec()}, "count": PartitionSpec()}
