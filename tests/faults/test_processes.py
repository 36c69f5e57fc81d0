"""Faults of processes, disks and clocks, on real ones."""
import contextlib
import logging
import os
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import psutil
import pytest

from tests import tiny
from tests.clips import write_clip
from vft import checkpoint, main, run, workdir
from vft.data import guard, manifest, pipeline, readers
from vft.errors import DataError, RunError, WeightsError
from vft.saver import Saver


def leaf(size=2_000_000, seed=0):
  """Arrays of `size` random bytes, which no packing makes smaller."""
  values = np.random.default_rng(seed).integers(0, 2**31, size // 4, dtype=np.int32)
  return {"params": {"w": jnp.asarray(values)}}


@contextlib.contextmanager
def small_disk(folder):
  """A folder with 6 MB of room: a real file system of its own where that can be mounted, else a limit of file sizes."""
  if os.geteuid() == 0 and not subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "none", folder]).returncode:
    try:
      yield
    finally:
      subprocess.run(["umount", "-l", folder], check=True)
  else:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_500_000, before[1]))
    try:
      yield
    finally:
      resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.fault("F33", "disk full in a save", "exit 5 with free and needed bytes; the older step is whole")
def test_a_full_disk_in_a_save_leaves_the_older_step(tmp_path):
  with small_disk(tmp_path):
    store = checkpoint.Checkpoints(tmp_path / "checkpoints")
    store.save(1, leaf(), {}, 0.5)
    with pytest.raises(RunError, match=r"(?s)step 2 takes 8\.0 MB, .*free.*Older steps are whole"):
      store.save(2, leaf(8_000_000), {}, 0.6)
    store.close()
    again = checkpoint.Checkpoints(tmp_path / "checkpoints")
    assert again.newest() == 1
    np.testing.assert_array_equal(again.restore(1, leaf(seed=1))["params"]["w"], leaf()["params"]["w"])
    again.close()


@pytest.mark.fault("F34", "kill -9 in the midst of a save", "older step used")
def test_kill_in_the_midst_of_a_save_leaves_the_older_step(tmp_path):
  code = f"""if True:
    import numpy as np, pathlib
    from vft import checkpoint
    store = checkpoint.Checkpoints(pathlib.Path({str(tmp_path)!r}))
    store.save(1, {{"params": {{"w": np.ones(10)}}}}, {{}}, 0.5)
    print("saving", flush=True)
    store.save(2, {{"params": {{str(i): np.random.default_rng(i).random(10**7) for i in range(4)}}}}, {{}}, 0.6)"""
  process = tiny.start_process("-c", code, cwd=tmp_path)
  assert process.stdout is not None and process.stdout.readline() == "saving\n"
  time.sleep(0.05)
  process.kill()
  process.communicate(timeout=30)
  assert process.returncode == -signal.SIGKILL
  assert checkpoint.Checkpoints(tmp_path).newest() == 1


@pytest.mark.fault("F39g", "checkpoint of another number type", "warning naming both types")
def test_another_number_type_is_a_warning(tmp_path, caplog):
  store = checkpoint.Checkpoints(tmp_path)
  store.save(1, {"params": {"w": jnp.ones(3, jnp.bfloat16)}}, {}, 0.5)
  with caplog.at_level(logging.WARNING):
    assert store.restore(1, {"params": {"w": jnp.ones(3)}})["params"]["w"].dtype == jnp.float32
  assert "step 1 holds other number types, which are converted: w from bfloat16 to float32" in caplog.text


@pytest.mark.fault("F39j", "classes in another order than the checkpoint's", "exit 4 with both orders")
def test_classes_in_another_order_are_refused(tmp_path):
  stage = SimpleNamespace(trained=frozenset(), moved=frozenset())
  def saver(*classes):
    return Saver(tmp_path, [stage], {}, frozenset(), {"classes": {"label": list(classes)}})
  first = saver("benign", "malignant")
  first.store.save(1, leaf(400), {"classes": {"label": ["benign", "malignant"]}}, 0.5)
  with pytest.raises(WeightsError, match=r"(?s)another classes.*\['benign', 'malignant'\].*\['malignant', 'benign'\]"):
    saver("malignant", "benign").restore(None, 1)


@pytest.mark.fault("F39d", "resume with another version of jax", "warning with both versions")
def test_other_versions_on_resume_are_a_warning(tmp_path, caplog):
  with caplog.at_level(logging.WARNING):
    workdir.settle_environment(tmp_path)
    workdir.settle_environment(tmp_path)
    assert not caplog.text
    env = tmp_path / "env.json"
    env.write_text(env.read_text().replace(f'"jax": "{jax.__version__}"', '"jax": "0.0.1"'))
    workdir.settle_environment(tmp_path)
  assert f"goes on with other versions than it began with: jax 0.0.1 -> {jax.__version__}" in caplog.text
  assert f'"jax": "{jax.__version__}"' in env.read_text()


@contextlib.contextmanager
def nobody():
  """Without the rights of root, to whom no file is closed."""
  if os.geteuid():
    yield
    return
  os.seteuid(65534)
  try:
    yield
  finally:
    os.seteuid(0)


@pytest.fixture
def open_folder():
  """A folder that others may enter, as they may not pytest's."""
  with tempfile.TemporaryDirectory() as folder:
    os.chmod(folder, 0o755)  # noqa: S103
    yield Path(folder)


@pytest.mark.fault("F25", "file that may not be read", "skipped: 'no permission (owner 0, mode 0)'")
def test_a_file_that_may_not_be_read_is_named_with_its_owner(open_folder):
  path = write_clip(open_folder / "a.mp4")
  os.chmod(path, 0)
  with nobody(), pytest.raises(DataError) as e:
    readers.probe(path, max_pixels=10**6)
  assert str(e.value) == f"no permission (owner {os.stat(path).st_uid}, mode 0): {os.path.realpath(path)}"


@pytest.mark.fault("F39i", "workdir that may not be written", "exit 5 at the start: 'Permission denied'")
def test_a_folder_that_may_not_be_written_stops_a_run_at_its_start(open_folder):
  (open_folder / "closed").mkdir(mode=0o555)
  with nobody(), pytest.raises(RunError, match=r"run cannot be written \(Permission denied\).*another --workdir"), \
      workdir.locked(open_folder / "closed/run"):
    raise AssertionError("never comes here")


@pytest.fixture
def handlers():
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.mark.fault("F45", "SIGINT once", "saved after the step, exit 130")
@pytest.mark.long
def test_ctrl_c_saves_and_stops(tiny_csv, tmp_path, handlers, capsys):
  path = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv, train=dict(epochs=5000, eval_every=5000))
  metrics = tmp_path / "run/metrics.jsonl"
  over = threading.Event()
  def press():
    while not (metrics.is_file() and '"train"' in metrics.read_text()):
      if over.wait(0.01):
        return
    os.kill(os.getpid(), signal.SIGINT)
  thread = threading.Thread(target=press)
  thread.start()
  try:
    assert main.main([f"--config={path}", f"--workdir={tmp_path / 'run'}"]) == 130
  finally:
    over.set()
    thread.join()
  assert "stopped by SIGINT; saved. The same command goes on" in capsys.readouterr().err
  (saved,) = [int(p.name) for p in (tmp_path / "run/checkpoints").iterdir() if p.name.isdigit()]
  assert metrics.read_text().count('"train"') == saved < 5000


@pytest.mark.fault("F45", "SIGINT twice", "stopped at once, exit 130")
def test_ctrl_c_twice_stops_at_once(handlers, capsys):
  def work():
    main.StopRequest()
    for _ in range(2):
      os.kill(os.getpid(), signal.SIGINT)
      time.sleep(0.01)
    raise AssertionError("went on")
  assert main.guarded(work) == 130
  assert "stopped at once; the same command goes on from the last checkpoint" in capsys.readouterr().err


@pytest.mark.fault("F47", "process that decodes killed by SIGKILL", "exit 5: exit code -9, lower data.workers")
def test_a_killed_worker_ends_the_run_with_the_remedy(tiny_csv, tmp_path):
  config = tiny.make_config(tiny_csv, tmp_path, data=dict(workers=1))
  made = guard.guard(manifest.make_manifest(config), tmp_path, config)
  before = set(psutil.Process().children(recursive=True))
  batches = pipeline.train_batches(made, config, batch=4, start_step=0)
  next(batches)
  for process in set(psutil.Process().children(recursive=True)) - before:
    if "spawn_main" in " ".join(process.cmdline()):
      process.kill()
  with pytest.raises(RunError, match=r"(?s)exit code -9.*lower --config\.data\.workers") as e:
    for _ in range(50):
      next(batches)
  assert e.value.exit_code == 5


@pytest.fixture(scope="module")
def whole(tiny_csv, tmp_path_factory):
  """A run of four steps that reads clips in each, and the config to repeat it."""
  folder = tmp_path_factory.mktemp("whole")
  config = tiny.make_config(tiny_csv, folder, features=dict(cache=False), train=dict(epochs=4, eval_every=4),
                            model=dict(dropout=0.3))
  run.run(config, folder / "run")
  return folder / "run", config


def predictions(folder):
  return (folder / "predictions_test.csv").read_text()


@pytest.fixture
def broken(whole, tmp_path):
  """The same, stopped after two steps."""
  class Enough(Exception):
    pass
  left = iter(range(1))
  def stop():
    if next(left, None) is None:
      raise Enough
  with pytest.raises(Enough):
    run.run(whole[1], tmp_path / "run", stop)
  return tmp_path / "run"


@pytest.mark.fault("F39c", "resume with another number of data workers", "same predictions, bit for bit")
@pytest.mark.fault("F39b", "resume on two devices instead of four", "same predictions to 4 digits")
@pytest.mark.long
def test_resume_with_other_workers_and_on_fewer_devices(whole, broken, tmp_path):
  import shutil
  shutil.copytree(broken, tmp_path / "fewer")
  config = whole[1].copy_and_resolve_references()
  config.data.workers = 1
  run.run(config, broken)
  assert predictions(broken) == predictions(whole[0])
  code = f"""if True:
    import pathlib
    from vft import run, workdir
    folder = pathlib.Path({str(tmp_path / "fewer")!r})
    run.run(workdir.load_config(folder), folder)"""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("XLA_FLAGS", "--xla_force_host_platform_device_count=2")
    process = tiny.start_process("-c", code, cwd=tmp_path)
  _, said = process.communicate(timeout=300)
  assert process.returncode == 0, said
  assert '"processes": 1' in (tmp_path / "fewer/env.json").read_text()
  for ours, theirs in zip(*(predictions(f).splitlines()[1:] for f in (tmp_path / "fewer", whole[0])), strict=True):
    for a, b in zip(ours.split(","), theirs.split(","), strict=True):
      assert a == b or float(a) == pytest.approx(float(b), rel=1e-4)


@pytest.mark.fault("F51", "clock that jumps back in a run", "same predictions, bit for bit")
@pytest.mark.fault("F53", "run without a network", "same predictions; no connection was tried")
@pytest.mark.fault("F69", "what a run sends anywhere", "nothing: no connection was tried; vft has no upload")
@pytest.mark.long
def test_a_run_needs_neither_clock_nor_network(whole, tmp_path, monkeypatch):
  tried, now = [], iter(range(2 * 10**9, 0, -1000))
  def connect(self, address):
    if self.family != socket.AF_UNIX:
      tried.append(address)
      raise OSError("no network")
  monkeypatch.setattr(socket.socket, "connect", connect)
  monkeypatch.setattr(time, "time", lambda: float(next(now)))
  run.run(whole[1], tmp_path / "run")
  monkeypatch.undo()
  assert predictions(tmp_path / "run") == predictions(whole[0]) and tried == []
