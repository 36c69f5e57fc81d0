"""Sweeps: stopped and gone on, chosen by validation alone, blocks that train what they say, trials that fail."""
import contextlib
import csv
import json
import os
import signal
import sys

import pytest

from tests import tiny
from tests.tiny_net import TinyNet
from vft import cli, main, models, run
from vft import config as configs
from vft import workdir as workdirs
from vft.sweep.space import Field
from vft.sweep.study import Study

LR = "groups.head.lr=1e-3..1e-1:log"


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
  """A trunk of two convolutions; a run takes over SIGTERM and SIGINT, pytest wants them back."""
  monkeypatch.setitem(models.FAMILIES, "tiny_net", TinyNet)
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.fixture(scope="module")
def config_file(tiny_csv, tmp_path_factory):
  return tiny.write_config_file(tmp_path_factory.mktemp("sweep") / "tiny.py", tiny_csv,
                                model=dict(name="tiny_net", variant=""), train=dict(epochs=2, batch=8))


@pytest.fixture
def sweep(config_file, monkeypatch, capsys, tmp_path):
  """sweep("--trials=2", ...) -> (exit code, stdout, stderr); its folder is tmp_path / "sweep"."""
  def call(*args, folder="sweep"):
    where = [f"--config={config_file}", f"--workdir={tmp_path / folder}"]
    monkeypatch.setattr(sys, "argv", ["vft", "sweep", *where, *args])
    code = cli.main()
    return (code, *capsys.readouterr())
  return call


def lines(folder):
  with (folder / "sweep.csv").open(newline="") as file:
    return list(csv.DictReader(file))


def validations(folder):
  found = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
  return [r["loss"] for r in found if r["split"] == "val"]


def test_a_sweep_stopped_in_a_trial_equals_an_unbroken_one_and_validation_alone_chooses(sweep, monkeypatch, tmp_path):
  args = ("--over", LR, "train.batch=4,8", "--trials=3")
  code, out, err = sweep(*args, folder="whole")
  assert code == 0, err
  check, calls = main.StopRequest.check, []

  def stop_in_the_second_trial(self):
    calls.append(1)
    if (tmp_path / "sweep/trial_001/metrics.jsonl").exists():
      os.kill(os.getpid(), signal.SIGTERM)
    check(self)
  with monkeypatch.context() as patch:
    patch.setattr(main.StopRequest, "check", stop_in_the_second_trial)
    code, _, err = sweep(*args)
    assert code == 143 and "The same command goes on from here" in err, err
  first = tmp_path / "sweep/trial_000/result.json"
  before = first.stat().st_mtime_ns
  assert not (tmp_path / "sweep/trial_001/result.json").exists() and not (tmp_path / "sweep/sweep.csv").exists()
  code, _, err = sweep(*args)
  assert code == 0 and "Trial 1 of 3" in err and "goes on" in err and "Trial 0 of" not in err, err
  assert first.stat().st_mtime_ns == before
  a, b = lines(tmp_path / "whole"), lines(tmp_path / "sweep")
  assert [r["starts"] for r in a] == list("111") and [r["starts"] for r in b] == list("121")
  for row in a + b:
    del row["seconds"], row["peak_memory_gib"], row["starts"]
  assert a == b and len({r["groups.head.lr"] for r in a}) == 3

  found = json.loads((tmp_path / "whole/sweep.json").read_text())
  values = [min(validations(tmp_path / f"whole/trial_{i:03}")) for i in range(3)]
  assert [float(r["loss"]) for r in a] == values
  chosen = found["chosen"]
  assert chosen["trial"] == values.index(min(values)) and chosen["figure"]["value"] == min(values)
  assert chosen["figure"]["low"] <= min(values) <= chosen["figure"]["high"]
  result = json.loads((tmp_path / f"whole/trial_{chosen['trial']:03}/result.json").read_text())
  assert chosen["test"] == result["test"] and all("test" not in trial for trial in found["trials"])
  assert out.count("\nTest ") == 1 and "had no part in the choice" in out
  assert f"--config.groups.head.lr={chosen['values']['groups.head.lr']}" in out.splitlines()[-1]
  assert (tmp_path / "whole/sweep.png").read_bytes().startswith(b"\x89PNG")
  config, same = configs.load(str(tmp_path / "whole/chosen.json")), workdirs.load_config(tmp_path / "whole/trial_000")
  assert config.groups.head.lr == float(chosen["values"]["groups.head.lr"]) and same.controls == config.controls == ()

  code, out, err = sweep(*args, folder="whole")  # finished: the table again, nothing trains
  assert code == 0 and "Trial " not in err.replace("Trials", "") and "Chosen: trial" in out
  assert sweep("--over", LR, "train.batch=4,16", "--trials=3", folder="whole")[0::2] == (2, (
      f"vft: {tmp_path / 'whole'} holds a sweep of another space (old -> new):\n  train.batch: 4,8 -> 4,16\n"
      "Give another --workdir for the new one, or the old values to go on.\n"))
  code, _, err = sweep(*args, "--config.data.shots=3", folder="whole")
  assert code == 2 and "data.shots: 0 -> 3" in err
  with workdirs.locked(tmp_path / "whole"):
    code, _, err = sweep(*args, folder="whole")
    assert code == 5 and "is in use by process" in err


def test_blocks_train_what_they_say_at_a_tenth_of_the_heads_rate(sweep, tmp_path):
  code, out, err = sweep("--blocks=0,1,all", "--config.train.epochs=1")
  assert code == 0, err
  rules = [workdirs.load_config(tmp_path / f"sweep/trial_{i:03}").rules for i in range(3)]
  assert rules == [(("head/.*", "head"), (".*", "trunk")),
                   (("head/.*", "head"), ("(last)/.*", "blocks"), (".*", "trunk")),
                   (("head/.*", "head"), (".*", "blocks"))]
  rows = lines(tmp_path / "sweep")
  head, last, stem = 16 * 2 + 2, 27 * 8 * 16 + 16, 75 * 3 * 8 + 8 + 2 * 8
  assert [int(r["trained_parameters"]) for r in rows] == [head, head + last, head + last + stem]
  assert [r["blocks"] for r in rows] == ["0", "1", "2"]
  flops = [float(r["step_gflop"]) for r in rows]
  assert flops[0] < 0.01 * flops[1] and flops[1] < flops[2]  # of cached features; then with a backward pass
  assert workdirs.load_config(tmp_path / "sweep/trial_001").groups.blocks.lr == pytest.approx(1e-3)
  assert f"vft train --config={tmp_path / 'sweep/chosen.json'}" in out.splitlines()[-1]
  run.check(configs.load(str(tmp_path / "sweep/chosen.json")))


def test_a_trial_whose_loss_is_not_finite_is_recorded_and_the_sweep_goes_on(sweep, tmp_path):
  args = ("--over", "groups.head.lr=1e38,1e-2", "--sampler=grid")
  code, _, err = sweep(*args, "--trials=1")
  assert code == 5 and "None of 1 trials came to an end. The first: The loss or its gradient is not finite" in err, err
  code, out, err = sweep(*args)  # more trials of the same sweep
  assert code == 0 and "Trial 0 of" not in err, err
  bad, good = lines(tmp_path / "sweep")
  assert "not finite" in bad["failed"] and bad["loss"] == "" and good["failed"] == ""
  assert "Trial 0 failed: " in out and "Chosen: trial 1" in out


@pytest.mark.parametrize("suggested", [0, 1])
@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_sweep_that_ends_while_it_draws_values_draws_the_same_ones(tmp_path, sampler, suggested):
  fields = [Field("a", low=0.0, high=1.0), Field("b", low=0.0, high=1.0)]

  def draw(space):
    with contextlib.closing(Study(tmp_path, fields, sampler=sampler, seed=3, trials=2, smaller=True)) as study:
      study.space = space
      return study.next().values
  whole = draw(fields)
  (tmp_path / "study.db").unlink()
  draw(fields[:suggested])  # the process ends here
  assert draw(fields) == whole and whole["a"] != whole["b"]


def test_the_same_values_are_not_run_twice_and_the_sweep_ends_when_all_were(sweep, tmp_path):
  code, _, err = sweep("--over", "train.batch=4,8", "--sampler=random", "--trials=20", "--config.train.epochs=1",
                       "--config.seed=2")
  assert code == 0, err
  rows = lines(tmp_path / "sweep")
  assert {r["train.batch"] for r in rows} == {"4", "8"} and len(rows) < 20
  again = [r for r in rows if r["same_as"]]
  assert again and "not run again" in err  # seeded: the second draw repeats the first
  for row in again:
    assert row["loss"] == rows[int(row["same_as"])]["loss"]
    assert not (tmp_path / f"sweep/trial_{int(row['trial']):03}").exists()


@pytest.mark.parametrize(("args", "words"), [
    (["--over", "train.bach=4,8"], ["config.train.bach is unknown; did you mean 'train.batch'?"]),
    (["--over", "groups.head.wq=0..1"], ["config.groups.head.wq is unknown"]),
    (["--over", "groups.trunk.lr=0.1..1"], ["has no lr of its own", "optim.group.lr"]),
    (["--over", "train.batch"], ["expected FIELD=RANGE"]),
    (["--over", "train.batch=8"], ["one value is no choice", "--config.train.batch=8"]),
    (["--over", "train.batch=8,eight"], ["config.train.batch=eight"]),
    (["--over", "train.batch=8,-4"], ["config.train.batch is -4; expected a number above 0"]),
    (["--over", "train.batch=6,8"], ["config.train.batch is 6, devices 4"]),
    (["--over", "train.epochs=5..2"], ["the lower end, 5, must be below the upper, 2"]),
    (["--over", "train.epochs=2..4.5"], ["config.train.epochs is a whole number"]),
    (["--over", "groups.head.lr=0..1:log"], ["starts above 0"]),
    (["--over", "groups.head.lr=1..2:ln"], ["':ln' is unknown"]),
    (["--over", "groups.head.lr=a..b"], ["expected LOW..HIGH"]),
    (["--over", "model.dropout=0..2"], ["config.model.dropout is 2"]),
    (["--over", LR, LR], ["groups.head.lr twice"]),
    (["--over", LR, "--sampler=grid"], ["A grid needs values", "groups.head.lr=0.001,0.1"]),
    (["--over", "seed=0..4"], ["seed decides which clips validation has"]),
    (["--over", "data.split=(0.6,0.2,0.2),(0.5,0.25,0.25)"], ["data.split decides"]),
    (["--over", "log.progress=True,False"], ["moves no validation figure"]),
    (["--blocks=0,3"], ["'3' is not a number from 0 to 2", "tiny_net has 2 blocks", "stem, last"]),
    (["--blocks=0,half"], ["'half' is not a number"]),
    (["--over", LR, "--config.data.folds=3"], ["config.data.folds is set"]),
    (["--over", LR, "--trials=-1"], ["--trials is -1"]),
    ([], ["There is nothing to try", "--blocks=0,1,2,4,all"]),
], ids=lambda v: " ".join(v) if v and v[0].startswith("--") else "")
def test_a_mistake_exits_2_before_the_first_trial(sweep, tmp_path, args, words):
  code, _, err = sweep(*args)
  assert code == 2 and err.startswith("vft: ") and "Traceback" not in err, err
  for word in words:
    assert word in err, err
  assert not (tmp_path / "sweep/trial_000").exists()
