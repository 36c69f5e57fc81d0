"""Many processes: who this one is, how all of them start, and what they tell each other. One process costs nothing."""
import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vft import errors
from vft.errors import ConfigError, RunError, VftError

FLAGS = ("coordinator", "processes", "process")
# A process's number, and what tells how many there are, where a launcher has set them.
RANKS = (("SLURM_PROCID", "SLURM_NTASKS"), ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
         ("JOB_COMPLETION_INDEX", "VFT_PROCESSES"))
START_S = 300.0  # for all processes to come; VFT_START_S
LAST_S = 2.0  # process 0 leaves that much later than others: without it jax ends them, before they can say why
SILENT_S = 20.0  # without a sign of life a process counts as dead; VFT_SILENT_S


@dataclass(frozen=True)
class Peers:
  """Which of how many processes this is."""
  coordinator: str  # HOST:PORT of process 0; "" = jax finds all three (TPU pods, SLURM, Open MPI, GKE)
  processes: int
  process: int


def peers(argv: Sequence[str]) -> tuple[Peers | None, list[str]]:
  """(who this process is, or None where it is the only one; the other arguments). Raises ConfigError."""
  given, rest = {}, []
  for argument in argv:
    name, is_set, value = argument.lstrip("-").partition("=")
    if argument.startswith("-") and is_set and name in FLAGS:
      given[name] = value
    else:
      rest.append(argument)
  found = {name: given.get(name, os.environ.get(f"VFT_{name.upper()}", "")) for name in FLAGS}
  if not any(found.values()):
    return (Peers("", 0, 0) if _detected() else None), rest
  for number, count in RANKS:
    if number in os.environ:
      found["process"] = found["process"] or os.environ[number]
      found["processes"] = found["processes"] or os.environ.get(count, "")
  return _checked(found), rest


def _checked(found: Mapping[str, str]) -> Peers | None:
  said = " ".join(f"--{k}={v or '?'}" for k, v in found.items())
  host, _, port = found["coordinator"].rpartition(":")
  try:
    count, number = int(found["processes"]), int(found["process"])
  except ValueError:
    count = number = -1
  if not (host and port.isdigit() and 0 <= number < count):
    raise ConfigError(f"Of many processes each needs all three of these: {said}\nExpected such as --coordinator="
                      "10.0.0.1:8476 --processes=4 --process=0 (to 3), or VFT_COORDINATOR, VFT_PROCESSES and "
                      "VFT_PROCESS in the environment.\nOn one machine: vft launch -n 2 -- train --config=...")
  return Peers(found["coordinator"], count, number) if count > 1 else None


def _detected() -> bool:
  """Whether a launcher that jax knows has started several processes."""
  e = os.environ
  slurm = "SLURM_STEP_NODELIST" in e and "SLURM_LOCALID" in e and int(e.get("SLURM_NTASKS", "1")) > 1
  return slurm or int(e.get("OMPI_COMM_WORLD_SIZE", "1")) > 1 or "," in e.get("TPU_WORKER_HOSTNAMES", "")


def start(who: Peers) -> None:
  """Waits for all processes and starts jax in them. Raises RunError where some do not come, or the port is taken."""
  limit = float(os.environ.get("VFT_START_S", START_S))
  if who.coordinator:
    _meet(who, limit)
  import jax  # only now: a mistake costs no start of jax
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.config.update("jax_enable_preemption_service", False)  # it would take SIGTERM away from main.StopRequest
  named: dict[str, Any] = dict(coordinator_address=who.coordinator, num_processes=who.processes, process_id=who.process,
               cluster_detection_method="deactivate") if who.coordinator else {}
  silent = int(float(os.environ.get("VFT_SILENT_S", SILENT_S)))
  jax.distributed.initialize(**named, initialization_timeout=int(limit), heartbeat_timeout_seconds=silent,
                             shutdown_timeout_seconds=60)


def _meet(who: Peers, limit: float) -> None:
  """Before jax, whose messages are C++ stacks: each process tells the first one that it is there."""
  host, _, port = who.coordinator.rpartition(":")
  end = time.monotonic() + limit
  if who.process == 0:
    return _receive(int(port), who, end)
  while True:
    try:
      with socket.create_connection((host.strip("[]"), int(port)), timeout=5) as line:
        line.settimeout(max(end - time.monotonic(), 1))
        line.sendall(f"vft {who.process}\n".encode())
        if line.recv(16) == b"go\n":
          return
      raise OSError("it does not answer as vft does")
    except OSError as e:
      if time.monotonic() > end:
        raise RunError(f"Process {who.process} of {who.processes} did not reach process 0 at {who.coordinator} within "
                       f"{limit:g} s ({e}).\nExpected process 0 to listen there: is it started, is the name right, and "
                       "may this machine connect? VFT_START_S=600 waits longer.") from e
      time.sleep(0.2)


def _receive(port: int, who: Peers, end: float) -> None:
  came: dict[int, socket.socket] = {}
  with contextlib.ExitStack() as stack:
    try:
      listener = stack.enter_context(socket.create_server(("", port)))
    except OSError as e:
      raise RunError(f"Process 0 cannot listen at port {port} ({e.strerror}): another program, or another run, is "
                     f"there.\nGive all processes another port: --coordinator={who.coordinator.rpartition(':')[0]}:"
                     f"{port + 1 if port < 65535 else port - 1}.") from e
    while len(came) < who.processes - 1:
      listener.settimeout(max(end - time.monotonic(), 0.01))
      try:
        line = stack.enter_context(listener.accept()[0])
        line.settimeout(5)
        word, _, number = line.recv(32).decode("ascii", "replace").strip().partition(" ")
        if word == "vft" and number.isdigit() and 0 < int(number) < who.processes:
          came[int(number)] = line
      except OSError as e:  # too late, or a connection that breaks, such as of who only looks whether the port is open
        if time.monotonic() > end:
          missing = sorted(set(range(1, who.processes)) - set(came))
          raise RunError(f"{len(missing)} of {who.processes} processes did not come to {who.coordinator}: {missing}.\n"
                         "Expected each to be started with the same --coordinator and --processes; look at what they "
                         "said, or set VFT_START_S=600 to wait longer.") from e
    for line in came.values():
      line.sendall(b"go\n")


@contextlib.contextmanager
def running(who: Peers, verbose: bool = False) -> Iterator[None]:
  """jax in all processes, which leave together. A connection that breaks ends in RunError in plain words."""
  start(who)
  import jax
  try:
    yield
  except Exception as e:
    words = ("gloo", "connection closed by peer", "connection reset by peer", "unavailable:", "deadline_exceeded",
             "coordination service")
    if isinstance(e, RuntimeError | ValueError) and any(w in str(e).lower() for w in words) and not verbose:  # of jax
      raise RunError(lost(str(e).splitlines()[0][:200])) from e
    if hasattr(e, "exit_code") and not isinstance(e, VftError):  # stopped, which all were
      jax.distributed.shutdown()
    elif jax.process_index() == 0:
      time.sleep(LAST_S)
    raise
  jax.distributed.shutdown()


def lost(why: str) -> str:
  """What is said where another process is gone."""
  return (f"Another process of this run has ended or cannot be reached ({why}); without it this one ends, too.\n"
          "Which failed first, and why, is in the output of the others. The same command in all processes goes on from "
          "the last checkpoint; vft launch --restarts=3, SLURM's --requeue and the like do so by themselves.")


def count() -> int:
  """Processes of this run; 1 where jax is not loaded yet."""
  jax = sys.modules.get("jax")
  return jax.process_count() if jax and jax.distributed.is_initialized() else 1


def first() -> bool:
  """Whether this process reads and writes the folder of the run."""
  return count() == 1 or sys.modules["jax"].process_index() == 0


def share(tree: Any) -> Any:
  """This process's part of a batch that all of them have: the p-th of P contiguous ones."""
  if count() == 1:
    return tree
  import jax
  def part(x: Any) -> Any:
    size = len(x) // count()
    return x[jax.process_index() * size:(jax.process_index() + 1) * size]
  return jax.tree.map(part, tree)


def largest(number: int) -> int:
  """The largest of the numbers of all processes."""
  if count() == 1:
    return number
  return max(gather(number))


def gather(value: Any) -> list[Any]:
  """JSON values of all processes, in their order."""
  if count() == 1:
    return [value]
  import numpy as np
  from jax.experimental import multihost_utils
  text = json.dumps(value).encode()
  sizes = multihost_utils.process_allgather(np.array([len(text)], np.int32)).reshape(-1)
  held = np.zeros(1 << int(max(sizes) - 1).bit_length(), np.uint8)  # few sizes to compile for
  held[:len(text)] = np.frombuffer(text, np.uint8)
  return [json.loads(row[:n].tobytes()) for row, n in
          zip(multihost_utils.process_allgather(held), sizes, strict=True)]


def broadcast_bytes(data: bytes) -> bytes:
  """What process 0 has; the others may give anything. As bytes, since sums would turn -0.0 into 0.0."""
  import jax
  import numpy as np
  from jax.experimental import multihost_utils
  mine = np.frombuffer(data, np.uint8) if jax.process_index() == 0 else np.zeros(0, np.uint8)
  high, low = multihost_utils.broadcast_one_to_all(np.array(divmod(len(mine), 1 << 30), np.int32))
  size = (int(high) << 30) + int(low)
  held = np.zeros(1 << max(size - 1, 0).bit_length(), np.uint8)
  held[:len(mine)] = mine
  return np.asarray(multihost_utils.broadcast_one_to_all(held))[:size].tobytes()


def by_first(work: Callable[[], Any]) -> Any:
  """work() of process 0 alone, whose JSON value all get; its VftError is raised in all."""
  if count() == 1:
    return work()
  said: dict[str, Any] = {}
  if first():
    try:
      said = {"value": work()}
    except VftError as e:
      said = {"error": type(e).__name__, "text": str(e)}
  said = json.loads(broadcast_bytes(json.dumps(said).encode()))
  if "error" in said:
    raise getattr(errors, said["error"])(said["text"])
  return said["value"]


def agree(**values: str) -> None:
  """Raises RunError in all processes where their values differ, which would make a run of different things."""
  everywhere = gather(values)
  for name, mine in everywhere[0].items():
    differ = [p for p, other in enumerate(everywhere) if other[name] != mine]
    if differ:
      shown = [f"process {p}: {everywhere[p][name][:200]}" for p in (0, *differ[:5])]
      raise RunError(f"The processes do not have the same {name}: {differ} differ from process 0.\n  "
                     + "\n  ".join(shown) + "\nExpected one config, one set of data and one environment: copy them from"
                     " the first machine to the others.")
