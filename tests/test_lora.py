"""LoRA: which kernels, what moves, what it costs, and that the merged model is the trained one."""
import json
import sys
from functools import partial

import jax
import numpy as np
import pandas as pd
import pytest

from configs import default
from tests import drawn, tiny
from tests.test_train import TASK, R, S, T, batch, run
from tests.tiny_net import TinyNet
from vft import cli, forward, head_file, lora, models, objective, optim, predict, probe, startup, train, trees
from vft import run as runs
from vft.errors import ConfigError
from vft.sweep import cost
from vft.tasks import Task

PARAMS = {"block_00/q/kernel": np.ones((4, 6), np.float32), "block_00/q/bias": np.ones(6, np.float32),
          "stem/kernel": np.full((2, 3, 3, 1, 5), -1, np.float32), "head/label/kernel": np.ones((6, 2), np.float32)}


def make_config(targets, rank=2, seed=0):
  c = default.get_config()
  c.seed = seed
  c.data.update(num_frames=T, resize=R, size=S)
  c.lora.update(rank=rank, alpha=4.0, targets=targets)
  return c


def filled(params, config):
  """The parameters with LoRA's, b no longer zero."""
  leaves = {k: v if k.endswith("/a") else np.random.default_rng(1).normal(size=v.shape).astype(np.float32)
            for k, v in lora.make(params, config).items()}
  return {**params, **leaves}


def test_leaves_are_two_thin_matrices_of_each_kernel_and_start_as_nothing():
  leaves = lora.make(PARAMS, make_config((".*/q/kernel", "stem/kernel")))
  assert {k: v.shape for k, v in leaves.items()} == {
      "lora/block_00/q/kernel/a": (4, 2), "lora/block_00/q/kernel/b": (2, 6),
      "lora/stem/kernel/a": (18, 2), "lora/stem/kernel/b": (2, 5)}
  folded = lora.fold({**PARAMS, **leaves}, 4.0)
  assert list(folded) == list(PARAMS)
  assert all(np.array_equal(folded[k], PARAMS[k]) for k in PARAMS)
  assert {lora.block_of(k) for k in leaves} == {"block_00", "stem"} and lora.block_of("head/label/bias") == "head"


def test_first_values_depend_on_seed_and_kernel_alone():
  one, more, other = (lora.make(PARAMS, make_config(targets, seed=seed))["lora/block_00/q/kernel/a"]
                      for targets, seed in ((("block.*/kernel",), 0), ((".*/kernel",), 0), (("block.*/kernel",), 1)))
  np.testing.assert_array_equal(one, more)
  assert np.abs(one - other).min() > 1e-6


def test_alpha_over_rank_times_the_product_is_added():
  params = filled(PARAMS, make_config(("stem/kernel",)))
  a, b = params["lora/stem/kernel/a"], params["lora/stem/kernel/b"]
  want = PARAMS["stem/kernel"] + 2 * (a @ b).reshape(2, 3, 3, 1, 5)
  np.testing.assert_allclose(lora.fold(params, 4.0)["stem/kernel"], want, rtol=1e-6)


@pytest.mark.parametrize("targets, match", [
    (("block_01/.*",), r"(?s)'block_01/\.\*', which matches nothing.*block_00/q/kernel\n.*stem/kernel"),
    ((".*/q/.*",), r"(?s)no kernel:\n  block_00/q/bias.*Its kernels are"),
    (("head/.*",), "matches nothing of the trunk")])
def test_targets_that_are_no_kernels_of_the_trunk_are_refused(targets, match):
  with pytest.raises(ConfigError, match=match):
    lora.make(PARAMS, make_config(targets))


def test_lora_that_does_not_train_is_refused():
  with pytest.raises(ConfigError, match=r'\("lora/\.\*", "lora"\)'):
    lora.check(make_config(("stem/kernel",)), {"head/label/kernel"})


@pytest.fixture(scope="module")
def setting():
  """What `test_train.run` takes, of a TinyNet whose kernels have LoRA; and the model."""
  c = make_config((".*/kernel",))
  c.groups = dict(trunk=dict(train=False), lora=dict(train=True, lr=1e-2, schedule="constant"))
  c.rules = (("lora/.*", "lora"), (".*", "trunk"))
  model = TinyNet(lora_alpha=4.0)
  variables = drawn.variables(model, np.zeros((1, T, S, S, 3), np.float32))
  params, stats = (trees.flatten(jax.tree.map(np.asarray, variables[k])) for k in ("params", "batch_stats"))
  params |= lora.make(params, c)
  labels = trees.assign(params, c.rules)
  tx = optim.make_optimizer(c, labels, steps=10)
  ahead = partial(forward.logits, model, pixels=forward.make_pixels(c, model), train=True, train_trunk=True)
  step = train.make_train_step(ahead, objective.make_loss(c, (TASK,), {"label": np.arange(3)}), tx,
                               frozenset(k for k in labels if labels[k] == "lora"))
  return (params, stats, tx, step), model, c


def test_only_lora_moves_and_only_lora_has_optimizer_slots(setting):
  (params, *_), _, _ = setting
  state, _ = run(setting[0], [batch(seed=i) for i in range(2)])
  now = {k: np.asarray(v) for k, v in state.params.items()}
  moved = {k for k in params if not np.array_equal(now[k].view(np.int32), params[k].view(np.int32))}
  assert moved == {k for k in params if k.startswith("lora/")}
  assert optim.nbytes(state.opt_state) == 2 * sum(params[k].nbytes for k in moved)


def test_before_the_first_step_outputs_are_those_of_the_base_bit_for_bit(setting):
  (params, stats, *_), model, c = setting
  logits = jax.jit(lambda p: forward.logits(model, p, stats, batch(), forward.make_pixels(c, model))[0]["label"])
  base, _ = trees.split(params, [k for k in params if not k.startswith("lora/")])
  np.testing.assert_array_equal(logits(params), logits(base))
  changed = filled(base, c)
  assert np.abs(logits(changed) - logits(base)).max() > 1e-3
  np.testing.assert_allclose(logits(changed), logits(lora.fold(changed, 4.0)), rtol=1e-6, atol=1e-6)


def test_a_step_costs_at_most_what_training_the_kernels_does(setting):
  (params, stats, *_), model, c = setting
  pixels = forward.make_pixels(c, model)
  def flops(trained):
    free, fixed = trees.split(params, trained)
    def loss(free, fixed):
      logits, _ = forward.logits(model, {**fixed, **free}, stats, batch(), pixels, train=True, train_trunk=True)
      return logits["label"].sum()
    return jax.jit(jax.grad(loss)).trace(free, fixed).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
  kernels = [k for k in params if k.endswith("/kernel") and not k.startswith("head/")]
  assert flops([k for k in params if k.startswith("lora/")]) <= 1.02 * flops(kernels)


def test_a_run_is_predicted_from_and_its_merged_weights_start_another(tiny_csv, tmp_path, monkeypatch):
  groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-2), lora=dict(train=True, lr=1e-2))
  rules = (("head/.*", "head"), ("lora/.*", "lora"), (".*", "trunk"))
  config = tiny.make_config(
      tiny_csv, tmp_path, model=dict(name="videomae", variant="tiny", dtype="bfloat16", remat="blocks", drop_path=0.2),
      lora=dict(rank=2), train=dict(epochs=1), data=dict(num_frames=4, size=32, resize=32), groups=groups, rules=rules)
  result, work = runs.run(config, tmp_path / "run"), tmp_path / "run"
  assert result["cost"]["step_memory_gib"] > 0 and "lora" in (work / "params.txt").read_text()
  assert np.isfinite([json.loads(line)["loss"] for line in (work / "metrics.jsonl").read_text().splitlines()]).all()
  _, tasks, begin = predict.load_run(work)
  params = begin.state.params
  assert all(x.dtype == np.float32 for x in jax.tree.leaves((params, begin.state.opt_state)) if x.ndim)
  assert all(np.abs(x).max() > 0 for k, x in params.items() if k.startswith("lora/"))
  predict.predict_files(str(work), [str(tiny_csv.parent / "p0_0.mp4")], str(tmp_path / "out.csv"))
  assert len(pd.read_csv(tmp_path / "out.csv")) == 1

  out = tmp_path / "merged.safetensors"
  monkeypatch.setattr(sys, "argv", ["vft", "weights", "convert", str(work), str(out)])
  assert cli.main() == 0
  config = tiny.make_config(
      tiny_csv, tmp_path, model=dict(name="videomae", variant="tiny"), init=dict(weights=str(out), keep_init=()),
      data=dict(num_frames=4, size=32, resize=32))
  merged = startup.start(config, tasks, lambda: ())
  assert not any(k.startswith("lora/") for k in merged.params)
  clip = np.random.default_rng(0).integers(0, 256, (4, 1, 4, 32, 32, 3), np.uint8)
  run_one = jax.jit(lambda model, params: forward.logits(
      model, params, merged.batch_stats, {"video": clip}, begin.pixels)[0]["label"], static_argnums=0)
  np.testing.assert_allclose(run_one(merged.model, merged.params),
                             run_one(begin.model.clone(dtype=merged.model.dtype), params), rtol=1e-6, atol=1e-6)


def test_a_sweep_counts_its_cost_and_a_probe_of_the_same_config_does_without(tmp_path, monkeypatch):
  monkeypatch.setitem(models.FAMILIES, "tiny_net", TinyNet)
  groups = dict(trunk=dict(train=False), head=dict(train=True), lora=dict(train=True))
  config = tiny.make_config(
      tmp_path / "none.csv", tmp_path, model=dict(name="tiny_net", variant=""),
      lora=dict(rank=2, targets=("last/kernel",)), groups=groups,
      rules=(("head/.*", "head"), ("lora/.*", "lora"), (".*", "trunk")))
  tasks = (Task(classes=("a", "b")),)
  probed = probe.make_config(config, "linear")
  assert [stage.blocks for stage in tiny.stages_of(probed, tasks)] == [()]
  assert cost.step_gflop(config, tasks) > cost.step_gflop(probed, tasks) > 0


def test_the_head_of_a_probe_may_stand_on_a_trunk_with_lora_at_its_start():
  one, other = (head_file.identity(TinyNet(), (TASK,), params, {}, "") for params in (
      PARAMS, {**PARAMS, **lora.make(PARAMS, make_config(("stem/kernel",)))}))
  assert one == other
