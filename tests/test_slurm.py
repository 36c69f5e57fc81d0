"""launch/slurm.sbatch under real slurmctld, slurmd and munge: SIGTERM reaches every task, then the job goes on."""
import os
import pwd
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

from tests import processes

SCRIPT = processes.HERE / "launch/slurm.sbatch"
AGAIN_S = 300  # SLURM waits two minutes before the second start
# Stands in for vft, which tests/test_processes.py stops and resumes: saves on SIGTERM, is done at the second start.
PROGRAM = """#!/usr/bin/env bash
echo "process $SLURM_PROCID of $VFT_PROCESSES at $VFT_COORDINATOR: $*"
[ -f "$SAVED.$SLURM_PROCID" ] && { echo "resumed $SLURM_PROCID"; exit 0; }
trap 'touch "$SAVED.$SLURM_PROCID"; echo "saved $SLURM_PROCID"; exit 143' TERM
for _ in $(seq 1200); do sleep 0.5; done
"""
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
  for path in [tmp_path / "slurmctld.pid", *tmp_path.glob("slurmd-*.pid")]:
    end(path)
  if own:
    end(Path("/run/munge/munged.pid"))


def wait(true, limit_s):
  until = time.monotonic() + limit_s
  while not true():
    assert time.monotonic() < until
    time.sleep(0.5)


@pytest.mark.fault("F46", "SIGTERM to a SLURM job of two tasks (a small program)",
                   "each saves, the requeued job goes on")
@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="slurmd starts tasks as other users: root alone may")
def test_sigterm_to_the_job_saves_every_task_and_the_requeued_job_goes_on(slurm, monkeypatch):
  (slurm / "vft").write_text(PROGRAM)
  (slurm / "vft").chmod(0o755)
  out = slurm / "job.out"
  for name, value in (("VFT", slurm / "vft"), ("SAVED", slurm / "saved"), ("VFT_COORDINATOR", "127.0.0.1:24555")):
    monkeypatch.setenv(name, str(value))
  said = subprocess.run(["sbatch", "--ntasks=2", f"--output={out}", SCRIPT, "train", "--config=medical"], check=True,
                        capture_output=True, text=True).stdout
  job = said.split()[-1]
  wait(lambda: out.is_file() and out.read_text().count("process ") == 2, 60)
  assert "process 1 of 2 at 127.0.0.1:24555: train --config=medical" in out.read_text()
  time.sleep(1)
  subprocess.run(["scancel", "--signal=TERM", "--batch", job], check=True)  # as --signal=B:TERM@90 does
  wait(lambda: "back into the queue" in out.read_text(), 60)
  assert "saved 0" in out.read_text() and "saved 1" in out.read_text()
  wait(lambda: out.read_text().count("resumed ") == 2, AGAIN_S)
