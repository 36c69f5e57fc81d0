"""Thawing by stages, averages of the weights and early stopping, in whole runs of a trunk of two convolutions."""
import dataclasses
import json
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pandas as pd
import pytest
from safetensors.numpy import save_file

from tests import drawn, tiny
from tests.tiny_net import TinyNet
from vft import forward, hooks, models, objective, predict, run, sharding, stages, startup, train, trees
from vft.convert import formats
from vft.data import manifest as manifests
from vft.tasks import Task

HEAD = {"head/label/bias", "head/label/kernel"}
LAST = {"last/bias", "last/kernel"}
GROUPS = dict(trunk=dict(lr=1e-3), last=dict(lr=1e-3, schedule="linear"), head=dict(lr=1e-2, wd=0.1))
RULES = (("head/.*", "head"), ("last/.*", "last"), (".*", "trunk"))
STAGES = ((1, ("last",)), (2, ("trunk",)))


class Halt(Exception):
  """Raised by a test in mid-run."""


@pytest.fixture(autouse=True)
def tiny_net(monkeypatch):
  monkeypatch.setitem(models.FAMILIES, "tiny_net", TinyNet)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
  """A file of weights and its arrays: with it, a checkpoint need not hold what is frozen."""
  variables = drawn.variables(TinyNet(), jnp.zeros((1, 8, 56, 56, 3)), seed=7)
  arrays = {k: np.asarray(x) for tree in variables.values() for k, x in trees.flatten(tree).items()}
  path = tmp_path_factory.mktemp("base") / "base.safetensors"
  save_file(arrays, path, metadata={formats.OWN: json.dumps({"family": "tiny_net", "variant": ""})})
  return path, arrays


def make(csv, folder, base, *, groups=GROUPS, rules=RULES, **updates):
  updates["train"] = dict(epochs=3) | updates.get("train", {})
  config = tiny.make_config(csv, folder, model=dict(name="tiny_net", variant=""),
                            init=dict(weights=str(base[0]), keep_init=("head/.*",)), **updates)
  with config.unlocked():
    config.groups, config.rules = groups, rules
  return config


def start(config, folder):
  """`run.run` in a folder that has its manifest, which saves a process."""
  folder.mkdir(exist_ok=True)
  if not (folder / "manifest.csv").is_file():
    manifests.make_manifest(config).save(folder / "manifest.csv")
  return run.run(config, folder)


def saved(folder, step):
  """{"params": {name: array}, ...} of a checkpoint."""
  return ocp.StandardCheckpointer().restore((folder / "checkpoints" / str(step) / "state").resolve())


def lines(folder, split):
  found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
  return [line for line in found if line["split"] == split]


class Breaks:
  """In place of StopHook: keeps the parameters of each step, and ends the run after some, with or without saving."""

  def __init__(self, monkeypatch):
    self.params, self.kill, self.ask = {}, 0, 0
    ordinary = hooks.StopHook.__call__

    def hook(this, step, state, sums, batch):
      self.params[step] = {k: np.array(x) for k, x in state.params.items()}
      if step == self.kill:
        raise Halt
      if step == self.ask:
        this._stop = self.stop
      ordinary(this, step, state, sums, batch)
    monkeypatch.setattr(hooks.StopHook, "__call__", hook)

  @staticmethod
  def stop():
    raise Halt


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_thawing_run_that_is_broken_off_equals_the_unbroken_one(tiny_csv, tmp_path, base, monkeypatch):
  config, breaks = make(tiny_csv, tmp_path, base, train=dict(stages=STAGES, ema=0.9)), Breaks(monkeypatch)
  whole, broken = tmp_path / "whole", tmp_path / "broken"
  result = start(config, whole)
  seen = dict(breaks.params)
  # Two steps an epoch. 2: killed between two stages; 3: asked to stop within one; 5: killed, so on from 4, between two.
  for breaks.kill, breaks.ask, last, trained in ((2, 0, 2, HEAD), (0, 3, 3, HEAD | LAST), (5, 0, 4, HEAD | LAST)):
    with pytest.raises(Halt):
      start(config, broken)
    assert max(int(p.name) for p in (broken / "checkpoints").glob("[0-9]*")) == last
    held = saved(broken, last)
    assert set(held["params"]) == set(held["ema"]) == trained  # no byte of what is frozen, nor a slot of it
    slots = sum(x.nbytes for x in held["opt_state"].values() if np.ndim(x))
    assert slots == 2 * sum(x.nbytes for x in held["params"].values()) and not held["batch_stats"]
  breaks.kill = breaks.ask = 0
  assert start(config, broken)["cost"]["steps"] == result["cost"]["steps"] == 6
  jax.tree.map(np.testing.assert_array_equal, saved(whole, 6), saved(broken, 6))
  assert (whole / "predictions_test.csv").read_text() == (broken / "predictions_test.csv").read_text()

  for step, still in ((2, {*seen[2]} - HEAD), (4, {*seen[4]} - HEAD - LAST)):
    assert all(np.array_equal(seen[step][k].view(np.int32), base[1][k].view(np.int32)) for k in still)
  assert all(not np.array_equal(seen[6][k], base[1][k]) for k in base[1] if k in seen[6])
  table = pd.read_csv(whole / "predictions_test.csv")
  predict.predict_files(str(whole), [str(tiny_csv.parent / p) for p in table.path], str(tmp_path / "again.csv"))
  np.testing.assert_allclose(pd.read_csv(tmp_path / "again.csv").p_slow, table.p_slow, atol=1e-3)
  assert (whole / "features.json").is_file()  # while only the head trains the trunk runs once
  text = (whole / "params.txt").read_text()
  assert "linear, after epoch 1" in text and "cosine, after epoch 2" in text


def test_each_stage_costs_one_compilation_more(tiny_csv, tmp_path, base):
  counts, events = [], []
  jax.monitoring.register_event_duration_secs_listener(lambda name, _, **__: events.append(name))
  for thawing in ((), STAGES):
    jax.clear_caches()
    events.clear()
    config = make(tiny_csv, tmp_path, base, train=dict(stages=thawing), features=dict(cache=False))
    start(config, tmp_path / f"{len(thawing)}")
    counts.append(events.count("/jax/core/compile/backend_compile_duration"))
  assert counts[0] and counts[1] - counts[0] == len(STAGES), counts


def test_run_without_a_better_score_ends_early_and_says_so_again(tiny_csv, tmp_path, base, monkeypatch, capsys):
  # Averages that stay zero: if they are what is validated and used, both classes are always equally likely.
  monkeypatch.setattr(train, "average", lambda ema, *_: jax.tree.map(jnp.zeros_like, ema))
  groups = {**GROUPS, "last": dict(train=False), "trunk": dict(train=False)}
  config = make(tiny_csv, tmp_path, base, groups=groups, train=dict(
      epochs=6, ema=0.5, patience=2, select="patient/auroc"))
  result = start(config, tmp_path / "run")
  val = lines(tmp_path / "run", "val")
  assert [line["step"] for line in val] == [2, 4, 6]
  assert result["cost"]["stopped_early_at"] == result["cost"]["steps"] == 6
  assert all(line["loss"] == pytest.approx(math.log(2)) and line["patient/auroc"] == 0.5 for line in val)
  assert val[0]["patient/accuracy"] == result["val"]["patient"]["accuracy"]["value"]
  table = pd.read_csv(tmp_path / "run" / "predictions_test.csv")
  np.testing.assert_allclose(table[["p_fast", "p_slow"]], 0.5)
  capsys.readouterr()
  assert start(config, tmp_path / "run") == result
  assert "stopped early after step 6" in capsys.readouterr().out
  (tmp_path / "run" / "result.json").unlink()  # killed after the last step
  again = start(config, tmp_path / "run")
  assert again["test"] == result["test"] and again["cost"]["stopped_early_at"] == 6
  assert [line["step"] for line in lines(tmp_path / "run", "train")] == [1, 2, 3, 4, 5, 6]


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_best_step_of_an_early_stage_comes_back_on_the_trunk_of_that_time(tiny_csv, tmp_path, base):
  config = make(tiny_csv, tmp_path, base, train=dict(stages=STAGES, ema=0.5))
  begin = startup.prepare(config, (Task(classes=("fast", "slow")),), "", tmp_path, sharding.make_mesh(), 6, lambda: ())
  begin.saver.save(state := dataclasses.replace(begin.state, step=jnp.int32(2)), 1.0)
  mesh = sharding.make_mesh()
  for stage in begin.stages[1:]:
    state = stages.enter(stage, state, mesh)
  later = dataclasses.replace(state, step=jnp.int32(6), **{
      kind: jax.tree.map(lambda x: x + 1, getattr(state, kind)) for kind in ("params", "ema")})
  begin.saver.save(later, 0.0)
  best = begin.saver.restore(later, begin.saver.store.best())
  assert int(best.step) == 2 and begin.saver.scores == [1.0]
  for name, first in begin.state.params.items():
    np.testing.assert_array_equal(best.best_params[name], first)


@pytest.mark.parametrize(("pattern", "tuned"), [
    (".*/bias", {"stem/bias", "norm/bias", "last/bias"}), (r"(.*/)?(norm|bn)[^/]*/.*", {"norm/bias", "norm/scale"})])
@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_bias_or_norm_only_tuning_moves_and_saves_no_more(pattern, tuned, tiny_csv, tmp_path, base):
  config = make(tiny_csv, tmp_path, base, groups=dict(
      head=dict(lr=1e-2), few=dict(lr=1e-2, wd=1.0, schedule="constant"), trunk=dict(train=False)),
      rules=(("head/.*", "head"), (pattern, "few"), (".*", "trunk")), optim=dict(warmup=0.0))
  task, mesh = Task(classes=("fast", "slow")), sharding.make_mesh()
  begin = startup.prepare(config, (task,), "", tmp_path, mesh, 6, lambda: ())
  (stage,) = begin.stages
  assert stage.trained == tuned | HEAD and stage.blocks == tuple(sorted({k.split("/")[0] for k in tuned}))
  step = train.make_train_step(
      partial(forward.logits, stage.model, pixels=begin.pixels, train=True, train_trunk=True),
      objective.make_loss(config, (task,), {"label": np.arange(2)}), stage.tx, stage.trained)
  rng = np.random.default_rng(0)
  batch = {"video": rng.integers(0, 256, (8, 1, 8, 64, 64, 3), np.uint8), "row": np.arange(8, dtype=np.int32),
           "label": {"label": np.arange(8, dtype=np.int32) % 2}, "copy": np.zeros(8, np.int32),
           "mask": np.ones(8, bool)}
  state, *_ = step(begin.state, sharding.put_batch(batch, mesh))
  moved = {k for k, x in base[1].items() if k in state.params and not np.array_equal(x, state.params[k])}
  assert moved - HEAD == tuned
  assert all(np.array_equal(state.batch_stats[k], base[1][k]) for k in state.batch_stats)
  begin.saver.save(state, 0.0)
  held = saved(tmp_path, 1)
  assert set(held["params"]) == tuned | HEAD and not held["batch_stats"]


def test_average_starts_at_the_first_values_and_hurries_at_first():
  ema = {"a": jnp.zeros(2)}
  for step, want in ((0, 0.9), (1, 0.9 + 0.1 * 9 / 11)):  # decays 1 / 10 and 2 / 11
    ema = train.average(ema, {"a": jnp.ones(2), "frozen": jnp.ones(2)}, 0.99, jnp.int32(step))
    np.testing.assert_allclose(ema["a"], want, rtol=1e-6)
  late = train.average({"a": jnp.zeros(2)}, {"a": jnp.ones(2)}, 0.99, jnp.int32(10_000))
  np.testing.assert_allclose(late["a"], 0.01, rtol=1e-5)
  assert set(late) == {"a"}


@pytest.mark.parametrize(("scores", "patience", "ended"), [
    ([], 1, False), ([1.0], 1, False), ([1.0, 1.0], 1, True), ([1.0, 2.0], 1, False), ([2.0, 1.0, 1.5], 2, True),
    ([2.0, 1.0, 2.5], 2, False), ([3.0, 1.0, 2.0], 0, False), ([1.0, 3.0, 2.0], 2, False)])
def test_patience_counts_validations_since_the_best(scores, patience, ended):
  assert hooks.waited(scores, patience) is ended
