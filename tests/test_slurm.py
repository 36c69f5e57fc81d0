"""launch/slurm.sbatch under real slurmctld, slurmd and munge: a job of two tasks gets SIGTERM, is requeued, goes on."""
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests import processes, tiny

SCRIPT = processes.HERE / "launch/slurm.sbatch"
AGAIN_S = 300  # SLURM waits two minutes before the second start
CONF = """ClusterName=vft
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
AuthType=auth/munge
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={here}/state
SlurmdSpoolDir={here}/spool-%n
SlurmctldPidFile={here}/slurmctld.pid
SlurmdPidFile={here}/slurmd-%n.pid
SlurmctldLogFile={here}/slurmctld.log
SlurmdLogFile={here}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
MpiDefault=none
ReturnToService=2
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
"""


def end(pidfile: Path) -> None:
  if pidfile.is_file():
    subprocess.run(["kill", pidfile.read_text().strip()])


@pytest.fixture
def slurm(tmp_path, monkeypatch):
  """The folder of two nodes that run jobs."""
  assert shutil.which("slurmctld") and shutil.which("munged"), "apt-get install slurm-wlm munge"
  for name in ("state", "spool-n1", "spool-n2"):
    (tmp_path / name).mkdir()
  ports = [processes.free_port() for _ in range(3)]
  (tmp_path / "slurm.conf").write_text(CONF.format(here=tmp_path, host=socket.gethostname(), ports=ports))
  monkeypatch.setenv("SLURM_CONF", str(tmp_path / "slurm.conf"))
  munge = pwd.getpwnam("munge")
  Path("/run/munge").mkdir(exist_ok=True)
  os.chown("/run/munge", munge.pw_uid, munge.pw_gid)
  own = not Path("/run/munge/munged.pid").is_file()
  if own:
    subprocess.run(["munged"], user="munge", check=True)
  for command in (["slurmctld"], ["slurmd", "-N", "n1"], ["slurmd", "-N", "n2"]):
    subprocess.run(command, check=True)
  yield tmp_path
  subprocess.run(["scancel", "--user=root", "--signal=KILL"], check=True)  # of a test that failed
  for path in [tmp_path / "slurmctld.pid", *tmp_path.glob("slurmd-*.pid")]:
    end(path)
  if own:
    end(Path("/run/munge/munged.pid"))


def wait(true, limit_s, out):
  """What the job has said is the message if it does not come true."""
  until = time.monotonic() + limit_s
  while not true():
    assert time.monotonic() < until, out.read_text()
    time.sleep(0.5)


@pytest.mark.fault("F46", "SIGTERM to a SLURM job of two tasks",
                   "one step saved, requeued, goes on; bit-equal to unbroken")
@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="slurmd starts tasks as other users: root alone may")
def test_a_job_that_gets_sigterm_is_requeued_and_ends_as_an_unbroken_one(slurm, tiny_csv, monkeypatch):
  config_file = tiny.write_config_file(slurm / "tiny.py", tiny_csv, train=dict(batch=4, epochs=40, eval_every=40))
  ended = processes.ends(processes.start(2, f"--config={config_file}", f"--workdir={slurm}/unbroken", cwd=slurm))
  assert [code for code, _ in ended] == [0, 0], ended
  (slurm / "vft").write_text(f'#!/bin/sh\nexec {sys.executable} -m vft.cli "$@"\n')
  (slurm / "vft").chmod(0o755)
  for name, value in processes.environment().items():
    monkeypatch.setenv(name, value)
  monkeypatch.setenv("VFT", str(slurm / "vft"))
  monkeypatch.setenv("VFT_COORDINATOR", f"127.0.0.1:{processes.free_port()}")  # no name server knows n1
  out, workdir = slurm / "job.out", slurm / "run"
  said = subprocess.run(["sbatch", "--ntasks=2", f"--output={out}", SCRIPT, "train", f"--config={config_file}",
                         f"--workdir={workdir}"], check=True, capture_output=True, text=True).stdout
  wait(lambda: len(processes.lines(workdir)) >= 2, 120, out)
  subprocess.run(["scancel", "--signal=TERM", "--batch", said.split()[-1]], check=True)  # as --signal=B:TERM@90 does
  wait(lambda: "back into the queue" in out.read_text(), 60, out)
  assert out.read_text().count("stopped by SIGTERM; saved") == 2
  stopped = len(processes.lines(workdir))
  wait(lambda: (workdir / "result.json").is_file(), AGAIN_S, out)
  assert stopped < len(processes.lines(workdir)) == len(processes.lines(slurm / "unbroken"))
  broken, unbroken = processes.arrays(workdir), processes.arrays(slurm / "unbroken")
  assert broken.keys() == unbroken.keys() and all(np.array_equal(broken[k], unbroken[k]) for k in broken)
