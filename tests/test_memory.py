"""The forecast of a step's memory, and what is said when it is too much."""
import math

import jax
import numpy as np
import psutil
import pytest

from configs import default
from tests.test_train import batch, mesh_of, setup
from tests.tiny_net import TinyNet
from vft import memory, sharding, train
from vft.errors import ConfigError, RunError

BLOCKS = (("head/.*|last/.*", "head"), (".*", "trunk"))


def make_config(**fields):
  config = default.get_config()
  config.train.update(batch=8, **fields)
  return config


def ahead(config):
  """A step, its first state on four devices, and the accum of every compilation so far."""
  params, stats, tx, _ = setup(BLOCKS)
  compiled = []
  def make(model, accum):
    compiled.append((model.remat, model.dtype.__name__, accum))
    return setup(BLOCKS, accum=accum)[3]
  mesh = mesh_of(4)
  return memory.Ahead(make, TinyNet(), config), train.make_state(params, stats, tx, mesh), mesh, compiled


def test_one_program_is_compiled_for_a_shape_checked_and_run(capsys):
  step, state, mesh, compiled = ahead(make_config())
  for seed in range(3):
    state, sums, _, fine = step(state, sharding.put_batch(batch(seed=seed), mesh))
    assert fine and np.isfinite(float(sums.compute()["loss"]))
  assert int(state.step) == 3 and compiled == [("none", "float32", 1)]
  said = capsys.readouterr().err
  assert said.count("A training step takes") == 1 and step.gib > 0
  step(state, sharding.put_batch(batch(4), mesh))
  assert len(compiled) == 2 and not capsys.readouterr().err  # a smaller one: nothing new to say


def test_the_state_and_the_batch_are_in_the_forecast():
  step, state, mesh, _ = ahead(make_config())
  on_devices = sharding.put_batch(batch(), mesh)
  need = memory.forecast(step._compile(TinyNet(), 1, state, on_devices))
  held = sum(x.addressable_shards[0].data.nbytes * 4 for x in jax.tree.leaves((state, on_devices)))
  assert held * 0.9 < need.arguments <= held and need.results < 0.1 * held < need.temporaries  # `copy` is not read


@pytest.mark.fault("F32", "step larger than the memory", "exit 2 before it: sizes, three flags with forecasts")
def test_a_step_that_does_not_fit_is_not_run_and_three_flags_say_what_would():
  step, state, mesh, compiled = ahead(make_config(memory_gb=1e-4))
  with pytest.raises(ConfigError, match=(
      r"(?s)A training step takes 0\.\d+ GiB of 0\.000 GiB.*Batch 8 in 1 part\(s\) of 8, 16 frames of 112 x 112, "
      r"float32, remat none.*--config\.model\.remat=blocks  -> 0\.\d+ GiB, not enough by itself.*"
      r"--config\.train\.accum=2  -> .*"
      r"--config\.model\.dtype=bfloat16  -> .*--config\.train\.memory_gb=1$")):
    step(state, sharding.put_batch(batch(), mesh))
  assert compiled == [("none", "float32", 1), ("blocks", "float32", 1), ("none", "float32", 2), ("none", "bfloat16", 1)]
  assert not any(x.is_deleted() for x in jax.tree.leaves(state))


def test_three_remedies_are_left_whatever_is_in_use():
  config = make_config(accum=2)
  config.model.update(remat="blocks", dtype="bfloat16")
  assert [r.flag for r in memory.remedies(config)] == [
      "--config.data.num_frames=8", "--config.data.size=56", "--config.data.resize=64"]
  config.train.update(batch=64, accum=1)
  assert [r.flag for r in memory.remedies(config, 3.0)] == [
      "--config.train.accum=4", "--config.train.batch=32", "--config.data.num_frames=8"]


def test_room_is_what_the_config_says_or_what_this_host_and_its_control_group_have(monkeypatch, tmp_path):
  assert memory.room(make_config(memory_gb=2.0), here=5) == 2 * memory.GIB
  free = psutil.virtual_memory().available
  assert 0.5 * free < memory.room(make_config(), here=0) < 2 * free
  monkeypatch.setattr(memory, "GROUPS", tmp_path)
  assert memory._group_limit() == math.inf
  held = psutil.Process().memory_info().rss
  (tmp_path / "memory.max").write_text(f"{held + 10**7}\n")
  assert memory.room(make_config(), here=0) < 3 * 10**7


@pytest.mark.fault("F32", "RESOURCE_EXHAUSTED", "exit 5: sizes and flags")
def test_a_device_out_of_memory_ends_in_one_message_with_sizes_and_three_flags():
  said = (r"(?s)RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes\.\nBatch 8 .*112 x 112.*"
          r"remat=blocks\n.*accum=2\n.*dtype=bfloat16\n.*eval\.chunk=1")
  with pytest.raises(RunError, match=said) as found, memory.explained(make_config()):
    raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 9 bytes.\nmore")
  assert found.value.exit_code == 5


def test_other_faults_of_a_device_pass():
  with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"), memory.explained(make_config()):
    raise jax.errors.JaxRuntimeError("INTERNAL: something else")
