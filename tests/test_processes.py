"""Several processes of one run on loopback: equal to one, stopped and killed at will, clear words for what is wrong."""
import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import subprocess
import sys
import time
from concurrent import futures

import numpy as np
import pytest

from tests import processes, tiny
from vft import distributed, launch
from vft.data import guard
from vft.errors import ConfigError

STEPS = 6
KILLED_S = 30  # within which the others end


@pytest.fixture(scope="module")
def config_file(tiny_csv):
  """Trains the last block of the trunk, too, so that each process decodes its part of every batch."""
  return tiny.write_config_file(
      tiny_csv.parent / "parts.py", tiny_csv, groups=dict(trunk=dict(train=False), tail=dict(train=True, lr=1e-3),
                                                         head=dict(train=True, lr=1e-2)),
      rules=(("head/.*", "head"), ("block_01/.*", "tail"), (".*", "trunk")), train=dict(batch=4, epochs=2),
      optim=dict(eps=1e-3), eval=dict(calibrate=False))


def run(config_file, workdir, count=2, devices=1, flags=(), **options):
  return processes.start(count, f"--config={config_file}", f"--workdir={workdir}", *flags, cwd=workdir.parent,
                         devices=devices, **options)


@pytest.fixture(scope="module")
def of_two(config_file, tmp_path_factory):
  """The folder of an unbroken run by two processes."""
  workdir = tmp_path_factory.mktemp("two") / "run"
  ended = processes.ends(run(config_file, workdir))
  assert [code for code, _ in ended] == [0, 0], ended
  return workdir


@pytest.mark.long
@pytest.mark.parametrize(("count", "devices", "flags"), [
    (1, 2, ()), (4, 1, ()), (2, 2, ("--config.mesh.fsdp=4",)), (2, 1, ("--config.data.workers=2",))])
def test_more_processes_devices_and_workers_change_nothing(of_two, config_file, tmp_path, count, devices, flags):
  workdir = tmp_path / "run"
  ended = processes.ends(run(config_file, workdir, count, devices, flags))
  assert {code for code, _ in ended} == {0}, ended
  for split in ("train", "val"):
    a, b = ([line["loss"] for line in processes.lines(w, split)] for w in (of_two, workdir))
    np.testing.assert_allclose(a, b, rtol=1e-5)
  a, b = processes.arrays(of_two), processes.arrays(workdir)
  for name in a:
    np.testing.assert_allclose(a[name], b[name], rtol=1e-5, atol=1e-5, err_msg=name)
  results = [json.loads((w / "result.json").read_text()) for w in (of_two, workdir)]
  assert results[0]["test"]["video"]["accuracy"] == results[1]["test"]["video"]["accuracy"]


@pytest.mark.fault("F44", "SIGTERM to one of two processes",
                   "one step saved, both exit 143; then bit-equal to unbroken")
@pytest.mark.long
def test_sigterm_to_any_process_saves_one_step_everywhere_and_the_end_is_bit_equal(of_two, config_file, tmp_path):
  workdir, flags = tmp_path / "run", ("--config.log.progress=True",)
  started = run(config_file, workdir, flags=flags)
  processes.until(lambda: len(processes.lines(workdir)) >= 2, started)
  started[1].terminate()
  ended = processes.ends(started)
  assert [code for code, _ in ended] == [143, 143], ended
  assert all("stopped by SIGTERM; saved" in err for _, err in ended)
  assert len(processes.lines(workdir)) == max(int(p.name) for p in (workdir / "checkpoints").iterdir()) < STEPS
  ended = processes.ends(run(config_file, workdir))
  assert [code for code, _ in ended] == [0, 0], ended
  a, b = processes.arrays(of_two), processes.arrays(workdir)
  assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
  cost = json.loads((workdir / "result.json").read_text())["cost"]["goodput"]
  assert cost["starts"] == 2 and 0 < cost["goodput"] < 1 and cost["seconds"]["away_or_lost"] > 0


@pytest.mark.fault("F48", "kill -9 of one of two processes", "the other ends within 30 s in plain words; exit 5")
@pytest.mark.long
@pytest.mark.parametrize("killed", [0, 1])
def test_when_one_is_killed_the_other_ends_soon_in_plain_words(config_file, tmp_path, killed):
  started = run(config_file, tmp_path / "run", flags=("--config.train.epochs=500", "--config.train.eval_every=500"))
  processes.until(lambda: len(processes.lines(tmp_path / "run")) >= 1, started)
  started[killed].kill()
  since = time.monotonic()
  (code, err) = processes.ends(started)[1 - killed]
  assert time.monotonic() - since < KILLED_S
  assert code == 5 and "Another process of this run has ended" in err.splitlines()[-2], err
  assert "goes on from the last checkpoint" in err.splitlines()[-1]


@pytest.mark.fault("F50", "another seed, or one other video, for one of two processes",
                   "exit 5 naming process, part and file")
@pytest.mark.long
def test_other_configs_and_other_data_are_found_at_the_start(config_file, tiny_csv, tmp_path):
  ended = processes.ends(run(config_file, tmp_path / "a", each={1: ("--config.seed=1",)}))
  assert [code for code, _ in ended] == [5, 5]
  assert all("do not have the same config: [1] differ from process 0" in err for _, err in ended), ended
  other = tmp_path / "data"
  other.mkdir()
  for path in tiny_csv.parent.iterdir():
    if path.suffix in (".mp4", ".csv"):
      (other / path.name).write_bytes(path.read_bytes())
  (other / "p3_0.mp4").write_bytes((other / "p3_1.mp4").read_bytes())
  flags = ("--config.data.source=csv:clips.csv",)
  started = []
  port = processes.free_port()
  for number, where in ((0, tiny_csv.parent), (1, other)):
    started += processes.start(2, f"--config={config_file}", f"--workdir={tmp_path / 'b'}", *flags, cwd=where,
                               only=(number,), port=port)
  ended = processes.ends(started)
  assert [code for code, _ in ended] == [5, 5]
  assert all("do not have the same manifest" in err and "p3_0.mp4" in err for _, err in ended), ended


@pytest.mark.fault("F49", "one of three processes started", "exit 5 with who is missing, and the address")
def test_a_process_that_never_comes_is_named_within_the_limit(config_file, tmp_path):
  ended = processes.ends(run(config_file, tmp_path / "run", 3, only=(0,), VFT_START_S="1"))
  assert ended[0][0] == 5 and "2 of 3 processes did not come to 127.0.0.1:" in ended[0][1]
  assert ": [1, 2].\n" in ended[0][1] and "Traceback" not in ended[0][1]
  assert not (tmp_path / "run").exists()


@pytest.mark.fault("F49", "process 0 not started", "exit 5 with its address")
def test_a_first_process_that_never_comes_is_named_with_its_address(config_file, tmp_path):
  ended = processes.ends(run(config_file, tmp_path / "run", 2, only=(1,), VFT_START_S="1"))
  assert ended[0][0] == 5 and "Process 1 of 2 did not reach process 0 at 127.0.0.1:" in ended[0][1]


def test_who_only_looks_whether_the_port_is_open_or_is_of_another_run_does_not_count():
  port = processes.free_port()
  first, last = (distributed.Peers(f"127.0.0.1:{port}", 2, number) for number in range(2))
  with futures.ThreadPoolExecutor(1) as pool:
    came = pool.submit(distributed._meet, first, 60)
    looks = None
    while looks is None:
      with contextlib.suppress(ConnectionRefusedError):
        looks = socket.create_connection(("127.0.0.1", port))
    looks.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    looks.close()  # by a reset
    with socket.create_connection(("127.0.0.1", port)) as other:
      other.sendall(b"vft 3\n")
      with pytest.raises(futures.TimeoutError):
        came.result(0.5)
      distributed._meet(last, 60)
    came.result(60)


@pytest.mark.fault("F52", "another program listens at the port", "exit 5 with a free port to type")
def test_a_port_in_use_is_said_with_another_one(config_file, tmp_path):
  with socket.create_server(("", 0)) as other:
    port = other.getsockname()[1]
    ended = processes.ends(run(config_file, tmp_path / "run", 2, only=(0,), port=port, VFT_START_S="5"))
  assert ended[0][0] == 5 and f"cannot listen at port {port} " in ended[0][1]
  assert f"--coordinator=127.0.0.1:{port + 1 if port < 65535 else port - 1}" in ended[0][1]


@pytest.mark.parametrize(("flags", "env", "want"), [
    ([], {}, None),
    (["--coordinator=h:1", "--processes=4", "--process=3"], {}, ("h:1", 4, 3)),
    ([], {"VFT_COORDINATOR": "h:1", "VFT_PROCESSES": "2", "VFT_PROCESS": "0"}, ("h:1", 2, 0)),
    (["--process=1"], {"VFT_COORDINATOR": "h:1", "VFT_PROCESSES": "2", "VFT_PROCESS": "0"}, ("h:1", 2, 1)),
    ([], {"VFT_COORDINATOR": "h:1", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, ("h:1", 2, 1)),
    ([], {"VFT_COORDINATOR": "h:1", "VFT_PROCESSES": "3", "JOB_COMPLETION_INDEX": "2"}, ("h:1", 3, 2)),
    ([], {"SLURM_STEP_NODELIST": "n1", "SLURM_LOCALID": "0", "SLURM_NTASKS": "2"}, ("", 0, 0)),
    ([], {"SLURM_STEP_NODELIST": "n1", "SLURM_LOCALID": "0", "SLURM_NTASKS": "1"}, None),
    ([], {"TPU_WORKER_HOSTNAMES": "a,b"}, ("", 0, 0)), ([], {"TPU_WORKER_HOSTNAMES": "a"}, None),
    (["--coordinator=h:1", "--processes=1", "--process=0"], {}, None),
])
def test_flags_win_over_the_environment_and_that_over_what_jax_finds(monkeypatch, flags, env, want):
  for name in ("SLURM_NTASKS", "SLURM_PROCID", "VFT_COORDINATOR"):
    monkeypatch.delenv(name, raising=False)
  for name, value in env.items():
    monkeypatch.setenv(name, value)
  found, rest = distributed.peers(["--config=x", *flags])
  assert rest == ["--config=x"] and (found and (found.coordinator, found.processes, found.process)) == want


def _ignored(reader, answers):
  pickle.loads(reader)  # in the worker's main function, as grain does it  # noqa: S301
  answers.put([signal.getsignal(number) is signal.SIG_IGN for number in (signal.SIGTERM, signal.SIGINT)])


def test_decoding_processes_leave_sigterm_and_sigint_to_the_run():
  context = multiprocessing.get_context("spawn")
  answers = context.Queue()
  worker = context.Process(target=_ignored, args=(pickle.dumps(guard.Noted(print)), answers))
  worker.start()
  assert answers.get(timeout=60) == [True, True]
  worker.join()
  assert signal.getsignal(signal.SIGTERM) is not signal.SIG_IGN


@pytest.mark.parametrize("flags", [["--process=1"], ["--coordinator=h", "--processes=2", "--process=0"],
                                   ["--coordinator=h:1", "--processes=2", "--process=2"]])
def test_half_of_an_address_is_refused_with_a_whole_one(flags):
  with pytest.raises(ConfigError, match=r"needs all three .*\n.*--coordinator=10.0.0.1:8476 --processes=4"):
    distributed.peers(flags)


def test_one_process_says_and_hears_only_itself():
  assert distributed.count() == 1 and distributed.first() and distributed.largest(3) == 3
  assert distributed.gather([1]) == [[1]] and distributed.by_first(lambda: 5) == 5
  distributed.agree(config="x")


def test_launch_that_is_stopped_while_it_starts_the_first_process_stops_it(monkeypatch):
  start = subprocess.Popen

  def stopped(*args, **kwargs):
    process = start(*args, **kwargs)
    os.kill(os.getpid(), signal.SIGTERM)
    return process
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  try:
    group = launch.Group(1, ["runs", "--help"])
    monkeypatch.setattr(launch.subprocess, "Popen", stopped)
    assert group.run() == 143
    group._processes[0].stderr.close()
  finally:
    for number, handler in before.items():
      signal.signal(number, handler)


@pytest.mark.fault("F48", "kill -9 of one process of vft launch --restarts=1",
                   "all are started again; the run is finished")
@pytest.mark.long
def test_launch_ends_all_when_one_dies_and_starts_them_again(config_file, tmp_path):
  workdir = tmp_path / "run"
  launcher = subprocess.Popen(
      [sys.executable, "-m", "vft.cli", "launch", "-n", "2", "--restarts=1", "--", "train", f"--config={config_file}",
       f"--workdir={workdir}", "--config.train.epochs=30", "--config.train.eval_every=30"],
      env=processes.environment(), text=True, stderr=subprocess.PIPE, cwd=tmp_path)
  processes.until(lambda: len(processes.lines(workdir)) >= 1, [launcher])
  children = subprocess.run(["pgrep", "-P", str(launcher.pid)], capture_output=True, text=True).stdout.split()
  os.kill(int(children[1]), signal.SIGKILL)
  _, err = launcher.communicate(timeout=400)
  assert launcher.returncode == 0, err
  assert "vft launch: process 1 of 2 was ended by SIGKILL" in err and "starting all 2 again (1 of 1)" in err
  assert (workdir / "result.json").is_file()
