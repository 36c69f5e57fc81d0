"""F17b: a decoder that hangs or crashes in the midst of a run, though the file could be probed."""
import csv
import json
import multiprocessing
import os
import time

import numpy as np
import pytest

from tests import tiny
from tests.check import sources
from vft import workdir
from vft.data import guard, manifest, notes, pipeline, skipped
from vft.errors import DataError


@pytest.fixture
def made(tiny_csv, tmp_path):
  """A guarded manifest whose source hangs or crashes on one file as its trap says, and the config."""
  config = tiny.make_config(tiny_csv, tmp_path / "config", data=dict(decode_timeout_s=1.0, workers=1))
  plain = manifest.make_manifest(config)
  def make(trap, workers=1):
    config.data.workers = workers
    folder = tmp_path / "run"
    folder.mkdir(exist_ok=True)
    plain.save(folder / "manifest.csv")
    trapped = type(plain)(plain.table, plain.tasks, plain.grouped_by, sources.Trap(plain.source, "p3_1.mp4", trap))
    return guard.guard(trapped, folder, config), config, folder
  return make


def read_all(made, config):
  batches = pipeline.eval_batches(made, config, np.arange(24), batch=4, views=1)
  failed = set()
  for _ in skipped.watch(batches, failed):
    pass
  return failed


@pytest.mark.fault("F17b", "decoder hangs or aborts in a run", "exit 3, file named; the same command goes on")
@pytest.mark.parametrize(("trap", "workers", "reason"), [
    ("hang", 1, "hangs: decoding had not ended after 1 s"), ("hang_here", 0, "hangs: decoding had not ended after 1 s"),
    ("abort", 1, "crashes the decoder (SIGABRT)")])
def test_the_file_is_named_and_the_next_start_goes_on_without_it(made, trap, workers, reason):
  trapped, config, folder = made(trap, workers)
  start = time.monotonic()
  with pytest.raises(DataError, match=r"(?s)'p3_1.mp4' .*the same command goes on without it") as e:
    read_all(trapped, config)
  assert reason in str(e.value) and e.value.exit_code == 3 and time.monotonic() - start < 30
  rows = list(csv.DictReader((folder / "skipped.csv").read_text().splitlines()))
  assert [(r["row"], r["path"]) for r in rows] == [("7", "p3_1.mp4")] and rows[0]["reason"].startswith(reason)

  again, config, folder = made(trap, workers)
  config.data.max_bad_fraction = 0.1
  assert read_all(again, config) == {7}
  assert skipped.write_skipped(again, set(), folder / "skipped.csv", config) == 1
  assert reason in (folder / "skipped.csv").read_text()


def crash_here(trapped, config):
  read_all(trapped, config)


def test_a_crash_of_the_run_itself_is_traced_at_the_next_start(made):
  trapped, config, folder = made("abort", workers=0)
  process = multiprocessing.get_context("spawn").Process(target=crash_here, args=(trapped, config))
  process.start()
  process.join()
  assert process.exitcode == -6 and not (folder / "skipped.csv").exists()
  again, _, _ = made("abort", workers=0)
  assert again.source.refused == {"p3_1.mp4": "crashes the decoder (SIGABRT)"}
  assert "p3_1.mp4" in (folder / "skipped.csv").read_text()


def test_who_was_only_reading_when_the_run_was_killed_is_not_blamed(made):
  _, _, folder = made("")
  note = folder / f".reading/{notes.HERE}999999_1.note"
  note.write_text(json.dumps([0.0, "p0_0.mp4", "earlier"]))
  again, _, _ = made("")
  assert again.source.refused == {} and not note.exists() and not (folder / "skipped.csv").exists()


def test_no_note_is_left_of_batches_that_were_made(made):
  trapped, config, folder = made("", workers=0)
  before = len(os.listdir("/proc/self/fd"))
  for _ in range(5):
    assert read_all(trapped, config) == set()
  assert list(notes._notes(folder / ".reading")) == []
  assert len(os.listdir("/proc/self/fd")) < before + 10


@pytest.mark.fault("F17b", "decoder hangs at the probe", "skipped: 'hangs'")
def test_a_run_skips_a_file_whose_probe_hangs(tiny_csv, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))  # or the clips of all tests would be known as hanging
  config = tiny.make_config(tiny_csv, tmp_path, data=dict(decode_timeout_s=1.0, max_bad_fraction=0.1))
  opened = manifest.open_source
  monkeypatch.setattr(manifest, "open_source", lambda *a: sources.Trap(opened(*a), "p3_1.mp4", "hang"))
  loaded = workdir.load_manifest(config, tmp_path)
  assert loaded.table.reason[7].startswith("hangs") and (loaded.table.status == "ok").sum() == 23
