"""Several processes of one run on this machine, as real ones: started, watched, killed."""
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import orbax.checkpoint as ocp

HERE = Path(__file__).resolve().parent.parent


def free_port() -> int:
  """A port that nobody listens at."""
  with socket.create_server(("127.0.0.1", 0)) as listener:
    return listener.getsockname()[1]


def start(count: int, *flags: str, cwd: Path, devices: int = 1, only: tuple[int, ...] = (), port: int = 0,
          each: dict[int, tuple[str, ...]] | None = None, **env: str) -> list[subprocess.Popen[str]]:
  """python -m vft.main as processes 0 to count - 1, or `only` some; `each` has more flags of single ones."""
  port = port or free_port()
  found = []
  for number in only or range(count):
    where = (f"--coordinator=127.0.0.1:{port}", f"--processes={count}", f"--process={number}")
    found.append(subprocess.Popen(
        [sys.executable, "-m", "vft.main", *flags, *(each or {}).get(number, ()), *where], cwd=cwd, text=True,
        env=environment(devices) | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE))
  return found


def environment(devices: int = 1) -> dict[str, str]:
  """Of a process with so many devices."""
  return {**os.environ, "PYTHONPATH": str(HERE), "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
          "VFT_SILENT_S": "10"}


def ends(processes: list[subprocess.Popen[str]], limit_s: float = 900) -> list[tuple[int, str]]:
  """(exit code, stderr) of each."""
  try:
    said = [p.communicate(timeout=limit_s)[1] for p in processes]
  finally:
    for p in processes:
      p.kill()
  return [(p.returncode, err) for p, err in zip(processes, said, strict=True)]


def lines(workdir: Path, split: str = "train") -> list[dict[str, float]]:
  """The whole lines of a run's metrics.jsonl so far."""
  path = workdir / "metrics.jsonl"
  texts = path.read_text().splitlines(keepends=True) if path.is_file() else []
  return [r for r in map(json.loads, (x for x in texts if x.endswith("\n"))) if r["split"] == split]


def arrays(workdir: Path, which: Callable = max) -> dict[str, np.ndarray]:
  """{name: array} of the newest checkpoint."""
  step = which(int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit())
  folder, reader = workdir / "checkpoints" / str(step) / "state", ocp.PyTreeCheckpointer()
  plain = jax.tree.map(lambda _: ocp.RestoreArgs(restore_type=np.ndarray), reader.metadata(folder).item_metadata.tree)
  found = reader.restore(folder, restore_args=plain)  # whatever devices it was written by
  return {f"{tree}/{name}": np.asarray(x) for tree, leaves in found.items() for name, x in leaves.items()}


def until(true: Callable[[], bool], processes: list[subprocess.Popen[str]], limit_s: float = 600) -> None:
  """Waits; ends with what a process said if one ends before."""
  end = time.monotonic() + limit_s
  while not true():
    over = [p for p in processes if p.poll() is not None]
    if over or time.monotonic() > end:
      for p in processes:
        p.kill()
      raise AssertionError("\n".join(f"{p.returncode}: {p.communicate()[1]}" for p in processes))
    time.sleep(0.05)
