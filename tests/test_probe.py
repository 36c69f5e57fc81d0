"""vft probe: each point is a run, chosen on validation alone, in one compilation; and a fine-tune that starts there."""
import json
import sys
from functools import partial

import jax
import numpy as np
import orbax.checkpoint as ocp
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests import tiny
from vft import batches, cli, evaluate, grid, probe, run, sharding, startup
from vft import workdir as workdirs
from vft.errors import ConfigError, RunError, WeightsError
from vft.progress import Clock
from vft.writer import Writer, read_metrics

LR, WD = (1e-2, 1e-1, 1e30), (0.0, 0.1)


@pytest.fixture(scope="module")
def place(tiny_csv, tmp_path_factory):
  """A folder with a CSV file of divided clips, so that no seed divides them anew."""
  folder = tmp_path_factory.mktemp("probe")
  table = pd.read_csv(tiny_csv)
  table["path"] = [str(tiny_csv.parent / p) for p in table.path]
  table["split"] = ["train"] * 14 + ["val"] * 6 + ["test"] * 4
  table.to_csv(folder / "clips.csv", index=False)
  return folder


def make_config(place, **updates):
  common = dict(
      data=dict(num_frames=4, resize=32, size=32, root="/"), model=dict(name="videomae", dropout=0.2),
      eval=dict(bootstrap=20),
      train=dict(batch=4, epochs=5, eval_every=2), probe=dict(lr=LR, wd=WD, seeds=2))
  return tiny.make_config(place / "clips.csv", place, **{k: {**common.get(k, {}), **updates.get(k, {})}
                                                          for k in {**common, **updates}})


def make_grid(config, folder):
  """(result, points, programs) of a probe."""
  shapes, programs = [], []
  train, make = grid.train_heads, grid.make_program
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(grid, "make_program", lambda *a: programs.append(make(*a)) or programs[-1])
    patch.setattr(grid, "train_heads", lambda *a: shapes.append(train(*a)) or shapes[-1])
    result = probe.probe(config, folder)
  return result, [point for shape in shapes for point in shape], [program for _, program in programs]


@pytest.fixture(scope="module")
def finished(place):
  return make_grid(make_config(place), place / "probed")


def alone(config, folder, point):
  """(head, curve) of the best checkpoint of a run with the rate, decay and seed of a point."""
  config = config.copy_and_resolve_references()
  config.groups.head.update(lr=point.lr, wd=point.wd)
  config.seed = point.seed
  run.run(config, folder)
  curve = {line["step"]: line for line in read_metrics(folder / "metrics.jsonl") if line["split"] == "val"}
  step = json.loads((folder / "result.json").read_text())["cost"]["best_step"]
  saved = ocp.StandardCheckpointer().restore((folder / f"checkpoints/{step}/state").resolve())
  return step, {**saved["params"], **saved.get("ema", {})}, curve


def same(point, config, folder):
  step, params, curve = alone(config, folder, point)
  assert point.step == step and [f["step"] for f in point.curve] == list(curve)
  for name, value in point.params.items():
    np.testing.assert_allclose(value, params[name], rtol=1e-5, atol=1e-6)
  for figures in point.curve:
    assert figures["loss"] == pytest.approx(curve[figures["step"]]["loss"], rel=1e-6)


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
@pytest.mark.parametrize("number", [0, 9])
def test_a_point_is_a_run_with_its_rate_decay_and_seed(place, finished, tmp_path, number):
  point = finished[1][number]
  assert (point.lr, point.wd, point.seed) == [(1e-2, 0.0, 0), (1e-1, 0.1, 1)][number > 0]
  same(point, make_config(place), tmp_path / "run")


@pytest.mark.filterwarnings("ignore:Sharding info not provided")
def test_a_point_of_patients_with_averages_is_a_run(place, tmp_path):
  config = make_config(place, sequence=dict(unit="patient"), optim=dict(name="sgd"),
                       train=dict(ema=0.9), probe=dict(lr=(1e-2,), seeds=1))
  _, points, _ = make_grid(config, tmp_path / "probe")
  same(points[1], config, tmp_path / "run")


def test_all_points_are_in_the_table_and_the_best_by_validation_alone_is_tested(place, finished):
  result, points, _ = finished
  table, folder = pd.read_csv(place / "probed/probe.csv"), place / "probed"
  assert [tuple(row) for row in table[["head", "lr", "wd", "seed"]].to_numpy()] == [
      ("linear", lr, wd, seed) for seed in (0, 1) for lr in LR for wd in WD]
  (chosen,) = table.index[table.chosen]
  assert chosen == table.loss.idxmin() == int(np.argmax([p.score for p in points]))
  assert result["val"]["video"]["loss"]["value"] == pytest.approx(table.loss[chosen], rel=1e-6)
  assert result["probe"]["chosen"]["epoch"] == table.epoch[chosen]
  tested = pd.read_csv(folder / "predictions_test.csv")
  assert result["test"]["video"]["accuracy"]["value"] == pytest.approx((tested.label == tested.predicted).mean())
  config = workdirs.load_config(folder)
  assert [config.groups.head.lr, config.groups.head.wd, config.seed] == table.loc[chosen, ["lr", "wd", "seed"]].tolist()
  assert (folder / "probe.png").read_bytes().startswith(b"\x89PNG")


def test_points_that_are_not_finite_are_marked_and_have_no_part(place, finished):
  table = pd.read_csv(place / "probed/probe.csv")
  bad = table.lr == 1e30
  assert bad.tolist() == table.status.str.startswith("not finite at step ").tolist() == table.loss.isna().tolist()
  assert not table.chosen[bad].any() and finished[0]["probe"]["not_finite"] == 4


def test_a_grid_without_a_finite_point_ends_with_the_cure(place, tmp_path):
  with pytest.raises(RunError, match=r"None of the 12 heads(.|\n)*--config\.probe\.lr"):
    probe.probe(make_config(place, probe=dict(lr=(1e30, 2e30, 3e30))), tmp_path / "probe")


def test_each_shape_of_head_is_compiled_once_and_takes_turns_where_memory_is_short(place, finished, tmp_path):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(grid, "AT_ONCE", 1)
    config = make_config(place, probe=dict(heads=("linear", "mlp"), seeds=1))
    result, points, programs = make_grid(config, tmp_path / "probe")
  assert [p._cache_size() for p in programs + finished[2]] == [1, 1, 1]
  assert [p.head for p in points] == ["linear"] * 6 + ["mlp"] * 6
  for a, b in zip(points[:6], finished[1][:6], strict=True):  # those of the same seed
    assert (a.bad, a.step) == (b.bad, b.step)
    for name in a.params:
      np.testing.assert_allclose(a.params[name], b.params[name], rtol=1e-5, atol=1e-6)
  best = grid.choose(points)
  assert result["probe"]["chosen"]["head"] == best.head == workdirs.load_config(tmp_path / "probe").model.head
  assert set(load_file(tmp_path / "probe/head.safetensors")) == set(best.params)


def prepare(config, folder):
  with Writer(folder, tensorboard=False, progress=False) as writer:
    manifest, mesh = workdirs.load_manifest(config, folder), sharding.make_mesh()
    begin = startup.prepare(config, manifest.tasks, manifest.sha256, folder, mesh, 1, lambda: ())
    clips = batches.make_batches(config, manifest, begin, begin.stages[0], begin.state, set(), folder, mesh, writer,
                                 Clock(), lambda: None)
    found = evaluate.make_evaluator(begin.model, begin.pixels, partial(clips.held_out, "val"), manifest, config, mesh)
  return begin, found(begin.state)[0]


def test_a_fine_tune_from_a_probe_starts_at_its_validation_loss_and_goes_on_without_it(place, finished, tmp_path):
  config = make_config(place, init=dict(from_probe=str(place / "probed")))
  begin, figures = prepare(config, tmp_path)
  table = pd.read_csv(place / "probed/probe.csv")
  assert figures["loss"] == pytest.approx(table.loss.min(), rel=1e-5)
  assert begin.report["head"]["from_probe"] == str(place / "probed") and begin.report["head"]["lr"] in LR
  begin.saver.save(begin.state, 0.0)
  begin.saver.store.close()
  (place / "probed").rename(place / "away")
  try:
    again, figures = prepare(config, tmp_path)
  finally:
    (place / "away").rename(place / "probed")
  assert figures["loss"] == pytest.approx(table.loss.min(), rel=1e-5)
  jax.tree.map(np.testing.assert_array_equal, again.state.params, begin.state.params)


@pytest.mark.parametrize(("updates", "words"), [
    (dict(model=dict(pool="mean", temporal="max")), "another head(.|\n)*mean(.|\n)*max"),
    (dict(init=dict(weights="")), "another trunk"),
    (dict(data=dict(classes=("slow", "fast"))), "another classes"),
    (dict(data=dict(official=False)), "another division"),
    (dict(init=dict(from_probe="/none")), "/none/head.safetensors cannot be read"),
], ids=str)
def test_a_probe_that_does_not_fit_is_refused_by_what_differs(place, finished, tmp_path, updates, words):
  probed = {"from_probe": str(place / "probed"), **updates.get("init", {})}
  with pytest.raises(WeightsError, match=words):
    prepare(make_config(place, **{**updates, "init": probed}), tmp_path)


@pytest.fixture
def vft(monkeypatch, capsys):
  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", *map(str, args)])
    return cli.main(), *capsys.readouterr()
  return call


def test_the_command_on_a_finished_folder_prints_its_tables_and_refuses_what_is_not_its_own(place, finished, vft):
  flags = ("--config=" + str(place / "tiny.py"), f"--workdir={place / 'probed'}")
  make_config(place)  # writes tiny.py
  code, out, err = vft("probe", *flags)
  assert (code, err) == (0, "") and "12 points, 4 not finite" in out
  assert f"vft train --config={place / 'tiny.py'} --workdir" not in out
  assert f"vft train --config={place / 'tiny.py'} --config.init.from_probe={place / 'probed'}" in out
  code, _, err = vft("probe", *flags, "--config.probe.seeds=3")
  assert code == 2 and "probe.seeds: 2 -> 3" in err
  code, _, err = vft("train", *flags)
  assert code == 2 and "not the folder of a run: it has probe.json" in err
  code, out, _ = vft("predict", place / "probed", tmp := pd.read_csv(place / "clips.csv").path.iloc[-1])
  want = pd.read_csv(place / "probed/predictions_test.csv").iloc[-1]
  assert code == 0 and want.path == tmp and f"{want.p_slow:.3f}" in out


@pytest.mark.parametrize(("updates", "words"), [
    (dict(data=dict(folds=2)), "folds"), (dict(features=dict(cache=False)), "features.cache"),
    (dict(probe=dict(lr=())), "probe.lr"), (dict(probe=dict(wd=(0.1, 0.1))), "twice"),
    (dict(probe=dict(heads=("linaer",))), "did you mean 'linear'"), (dict(optim=dict(name="adam")), "adam"),
    (dict(model=dict(pool="cls"), probe=dict(heads=("attentive",))), "model.pool")], ids=str)
def test_a_grid_that_cannot_be_trained_is_refused_before_anything_is_made(place, tmp_path, updates, words):
  with pytest.raises(ConfigError, match=words):
    probe.probe(make_config(place, **updates), tmp_path / "probe")
  assert not (tmp_path / "probe").exists()
