import logging
import threading
import time
from functools import partial

import pytest

from tests.check import sources
from tests.clips import frames, write_clip
from vft.check.looks import look
from vft.data import decoders, inspection, readers
from vft.data.decoders import Decoders
from vft.data.known_files import KnownFiles
from vft.errors import RunError

READING = {"max_pixels": 64_000_000}


@pytest.fixture
def folder(tmp_path):
  for i, name in enumerate(("0", "1_hang", "2_abort", "3_kill", "4_bug", "5")):
    (tmp_path / "a").mkdir(exist_ok=True)
    write_clip(tmp_path / f"a/{name}.mp4", frames(10, first=20 + i))
  return tmp_path


def look_at_all(source, known=None, timeout_s=1.0):
  processes = Decoders(source, partial(look, full=False, reading=READING), workers=2, limit_s=timeout_s,
                       depth=inspection.LOOKED)
  new = []
  try:
    found = inspection.inspect_all(source, source.rows().path.tolist(), READING, look=processes, known=known,
                                   depth=inspection.LOOKED, limit_s=processes.limit_s, threads=4,
                                   tick=lambda done, n: new.append(n))
  finally:
    processes.close()
  return found, new


@pytest.mark.fault("F17b", "hang, abort, kill and bug in `vft check`", "each named; the others are looked at")
def test_a_file_that_hangs_or_crashes_its_process_is_named_and_takes_no_other_with_it(folder, tmp_path_factory,
                                                                                        monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
  known, source = KnownFiles(), sources.Deadly(str(folder))
  found, _ = look_at_all(source, known)
  assert {path: f.reason for path, f in found.items()} == {
      "a/0.mp4": "", "a/5.mp4": "",
      "a/1_hang.mp4": "hangs: decoding had not ended after 1 s (data.decode_timeout_s)",
      "a/2_abort.mp4": "crashes the decoder (SIGABRT)",
      "a/3_kill.mp4": "crashes the decoder (SIGKILL: perhaps too little memory)",
      "a/4_bug.mp4": "cannot be looked at: KeyError; please report it with the version of vft"}
  assert all(len(f.sha256) == 64 for f in found.values())
  known.flush()

  start = time.monotonic()
  again, new = look_at_all(source, known)
  assert {p: f.reason for p, f in again.items()} == {p: f.reason for p, f in found.items()}
  assert sum(new) == 2  # what may not be the file's fault is tried again; who hangs is not waited for
  assert time.monotonic() - start < 10.0
  known.close()

  monkeypatch.setattr(readers, "probe", None)  # a run takes over what a check has found, and decodes nothing
  (folder / "a/3_kill.mp4").unlink()
  (folder / "a/4_bug.mp4").unlink()
  taken = inspection.inspect_all(source, source.rows().path.tolist(), READING)
  assert [f.reason.partition(":")[0] for f in taken.values()] == ["", "hangs", "crashes the decoder (SIGABRT)", ""]


def test_a_process_that_does_not_start_is_told_to_all_who_wait_for_one(folder):
  processes, said = Decoders(sources.Stillborn(str(folder)), look, workers=1, limit_s=1.0, depth=inspection.LOOKED), []

  def ask():
    with pytest.raises(RunError, match=r"did not start \(exit code 9\)"):
      processes("a/0.mp4", b"", "")
    said.append(True)
  threads = [threading.Thread(target=ask, daemon=True) for _ in range(2)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join(60)
  assert said == [True, True]


def test_a_second_run_starts_no_process(folder, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  for name in ("1_hang", "2_abort", "3_kill", "4_bug"):
    (folder / f"a/{name}.mp4").unlink()
  source = sources.Deadly(str(folder))
  paths = source.rows().path.tolist()
  found = decoders.probe_all(source, paths, READING, limit_s=30)
  monkeypatch.setattr(decoders, "_Worker", None)
  again = decoders.probe_all(source, paths, READING, limit_s=30)
  assert len(again) == 2 and again == found


def test_what_once_was_too_slow_is_tried_again_when_there_is_more_time(tmp_path):
  known = KnownFiles(tmp_path / "files.sqlite")
  slow = inspection.Inspection("ab", "hangs", depth=inspection.LOOKED, limit_s=2.0)
  known.add("key", slow)
  known.flush()
  assert known.get("key", inspection.LOOKED, 2.0)["reason"] == known.get("key", inspection.PROBED)["reason"] == "hangs"
  assert known.get("key", inspection.LOOKED, 3.0) is None
  known.close()


def test_the_processes_start_without_jax_and_pandas(tmp_path):
  (tmp_path / "a").mkdir()
  write_clip(tmp_path / "a/modules.mp4")
  source = sources.Deadly(str(tmp_path))
  found, _ = look_at_all(source, timeout_s=30)
  assert found["a/modules.mp4"].reason == ""
  assert not {"jax", "pandas", "sklearn"} & set((tmp_path / "modules.txt").read_text().split())


def test_a_place_that_cannot_be_written_costs_a_warning(tmp_path, caplog):
  (tmp_path / "file").write_text("")
  with caplog.at_level(logging.WARNING):
    known = KnownFiles(tmp_path / "file/files.sqlite")
  assert known.get("key", 0) is None and known.thumbnail("key") == b"" and "not remembered" in caplog.text
  known.add("key", inspection.Inspection("ab"))
  known.close()
  (tmp_path / "torn.sqlite").write_bytes(b"no database" * 100)
  known = KnownFiles(tmp_path / "torn.sqlite")
  assert known.get("key", 0) is None
  known.close()


def test_threads_share_what_is_known(tmp_path):
  known = KnownFiles(tmp_path / "files.sqlite")
  def work(i):
    for j in range(100):
      known.add(f"{i} {j}", inspection.Inspection("ab", thumbnail=b"jpeg"))
      known.get(f"{i} {j}", 0)
  threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
  [t.start() for t in threads]
  [t.join() for t in threads]
  known.close()
  known = KnownFiles(tmp_path / "files.sqlite")
  assert known.thumbnail("3 99") == b"jpeg" and (tmp_path / "files.sqlite").stat().st_mode & 0o777 == 0o600
  known.close()
