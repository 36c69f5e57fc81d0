"""A workdir in a bucket: sent after every checkpoint, taken up by another machine, owned by one process at a time."""
import json
import os
import shutil
import subprocess
import sys
import time

import pytest

from tests import s3
from tests.s3 import BUCKET, server  # noqa: F401  a fixture
from vft import checkpoint, mirror, owner, storage
from vft import workdir as workdirs
from vft.errors import DataError, RunError

pytestmark = pytest.mark.usefixtures("server")


@pytest.fixture
def machine(tmp_path, monkeypatch):
  """machine("a"): from now on this process is one of that name, with a home of its own."""
  def enter(name):
    monkeypatch.setenv("HOME", str(tmp_path / name))
    mirror._places.clear()
  enter("a")
  return enter


@pytest.fixture
def url(request):
  return f"{BUCKET}/{request.node.name}"


def names(url):
  return sorted(storage.find(url))


def write(folder, **files):
  for name, text in files.items():
    (folder / name).write_text(text)


def test_a_local_workdir_is_left_alone(tmp_path, server):  # noqa: F811
  server.sent.clear()
  assert mirror.place(str(tmp_path / "x")) == tmp_path / "x" == mirror.fetched(str(tmp_path / "x"))
  with workdirs.locked(tmp_path / "x"):
    mirror.send(tmp_path / "x")
  assert server.sent == []


def test_another_machine_finds_what_was_sent_and_what_was_removed_is_gone(machine, url):
  folder = mirror.place(url)
  with workdirs.locked(folder):
    (folder / "sub").mkdir()
    write(folder, a="1", b="2", half="x")
    (folder / "half").rename(folder / "half.tmp")
    (folder / "sub/c").write_text("3")
  assert names(url) == ["a", "b", "sub/c"]
  machine("b")
  folder = mirror.place(url)
  with workdirs.locked(folder):
    assert (folder / "a").read_text() == "1" and (folder / "sub/c").read_text() == "3"
    (folder / "b").unlink()
    write(folder, a="new")
  assert names(url) == ["a", "sub/c"]
  machine("a")
  assert (mirror.fetched(url) / "a").read_text() == "new" and not (mirror.place(url) / "b").exists()


def test_what_was_not_sent_before_a_kill_is_kept_here_unless_another_machine_went_on(machine, url):
  folder = mirror.place(url)
  with workdirs.locked(folder):
    write(folder, a="1")
  write(folder, a="2", later="x")  # and then the process was killed
  with workdirs.locked(folder):
    assert (folder / "a").read_text() == "2"
  assert names(url) == ["a", "later"]
  write(folder, lost="x")
  machine("b")
  with workdirs.locked(mirror.place(url)):
    write(mirror.place(url), b="1")
  machine("a")
  with workdirs.locked(folder := mirror.place(url)):
    assert (folder / "b").exists() and not (folder / "lost").exists()


def test_only_what_changed_is_sent(machine, url, server):  # noqa: F811
  folder = mirror.place(url)
  with workdirs.locked(folder):
    write(folder, a="1", b="2")
    mirror.send(folder)
    server.sent.clear()
    write(folder, b="3")
    mirror.send(folder / "checkpoints")  # anywhere below it
    assert [path.rpartition("/")[2] for method, path, _ in server.sent if method == "PUT"] == ["b"]


def test_digests_are_sent_after_the_files_of_their_checkpoint_and_old_steps_go_last(machine, url, server):  # noqa: F811
  import jax.numpy as jnp
  arrays = {"params": {"k": jnp.ones((4, 3))}, "batch_stats": {}, "opt_state": {}}
  folder = mirror.place(url)
  with workdirs.locked(folder):
    store = checkpoint.Checkpoints(folder / "checkpoints")
    for step in (1, 2, 3):
      server.sent.clear()
      store.save(step, arrays, {}, float(step))
    puts = [(i, path) for i, (method, path, _) in enumerate(server.sent) if method == "PUT" and "/3/" in path]
    deletes = [i for i, (method, path, _) in enumerate(server.sent) if method == "DELETE" and "/1/" in path]
    store.close()
  assert puts[-1][1].endswith("3/sha256.json") and deletes and min(deletes) > puts[-1][0]
  machine("b")
  store = checkpoint.Checkpoints(mirror.fetched(url) / "checkpoints")
  assert store.newest() == store.best() == 3 and store.restore(2, arrays)["params"]["k"].sum() == 12


def test_a_network_that_is_down_in_the_midst_costs_a_warning_at_the_end_an_error(machine, url, server, monkeypatch,  # noqa: F811
                                                                               caplog):
  folder = mirror.place(url)
  monkeypatch.setattr(type(storage._driver(BUCKET)[0]), "retries", 1)
  with workdirs.locked(folder):
    write(folder, a="1")
    server.down = True
    mirror.send(folder)
    server.down = False
    assert "not sent, the run goes on" in caplog.text
    mirror.send(folder)
    assert names(url) == [owner.NAME, "a"]
  try:
    with pytest.raises(RunError, match="cannot be reached"), workdirs.locked(folder):
      write(folder, b="1")
      server.down = True
  finally:
    server.down = False


def test_a_bucket_cannot_write_outside_the_mirror(machine, url):
  storage.write(f"{url}/ok", b"1")
  driver = storage._driver(BUCKET)[0]
  driver.pipe_file(f"{url.removeprefix('s3://')}/../../evil", b"x")
  with pytest.raises(DataError, match="would leave the folder"):
    mirror.fetched(url)


OWN = "import sys, time; from vft import owner; o = owner.Owner(sys.argv[1]); o.take(); print('mine', flush=True); " \
      "time.sleep(60)"


def test_the_owner_of_this_machine_that_was_killed_is_followed_at_once(machine, url):
  with subprocess.Popen([sys.executable, "-c", OWN, url], stdout=subprocess.PIPE, text=True) as process:
    assert process.stdout.readline() == "mine\n"
    process.kill()
  start = time.monotonic()
  own = owner.Owner(url)
  own.take()
  own.release()
  assert time.monotonic() - start < 5 and names(url) == []


def test_a_living_owner_is_named_and_a_silent_one_is_followed(machine, url, monkeypatch):
  monkeypatch.setattr(owner, "BEAT_S", 0.2)
  first, second = owner.Owner(url), owner.Owner(url)
  first.take()
  with pytest.raises(RunError, match=rf"is in use by process {os.getpid()} on"):
    second.take()
  note = json.loads(storage.read(f"{url}/{owner.NAME}"))
  first._end.set()  # its machine is gone
  first._thread.join()
  storage.write(f"{url}/{owner.NAME}", json.dumps({**note, "host": "elsewhere"}).encode())
  third = owner.Owner(url)
  third.take()
  with pytest.raises(RunError, match=r"was taken over by process"):
    first.check()
  third.check()
  third.release()


def test_a_bucket_that_there_is_not_is_said(machine):
  with pytest.raises(RunError, match="Make the bucket first"), workdirs.locked(mirror.place("s3://nobucket/run")):
    pass


def test_two_homes_do_not_share_a_mirror(machine, url, tmp_path):
  assert mirror.place(url).is_relative_to((tmp_path / "a").resolve())
  shutil.rmtree(tmp_path / "a", ignore_errors=True)
  s3.forget()
  machine("b")
  assert mirror.place(url).is_relative_to((tmp_path / "b").resolve())
