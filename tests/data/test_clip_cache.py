"""Decoded clips on disk: the same batches with and without, whatever happens to the files."""
import itertools
import multiprocessing
import os
import time
from pathlib import Path

import numpy as np
import pytest

from configs import default
from tests import tiny
from tests.clips import write_clip
from vft import config as configs
from vft import run
from vft.data import guard, manifest, pipeline, readers
from vft.data.clip_cache import ClipCache
from vft.errors import ConfigError


@pytest.fixture
def made(tmp_path):
  """(manifest, config): 8 noise videos, 4 of them for training, each shown at two moments; the cache lies beside."""
  rng, lines = np.random.default_rng(0), ["path,label,split"]
  for i in range(8):
    write_clip(tmp_path / f"{i}.mp4", rng.integers(0, 255, (20, 32, 40, 3), dtype=np.uint8))
    lines.append(f"{i}.mp4,{'ab'[i % 2]},{('train', 'train', 'val', 'test')[i // 2]}")
  (tmp_path / "list.csv").write_text("\n".join(lines))
  config = default.get_config()
  config.data.update(source=f"csv:{tmp_path}/list.csv", num_frames=4, fps=5.0, resize=16, size=16, workers=0,
                     cache=True, cache_dir=str(tmp_path / "cache"))
  config.augment.update(enabled=True, copies=2)
  return manifest.make_manifest(config), config


@pytest.fixture
def decoded(monkeypatch):
  """Times of the clips that are decoded in this process."""
  seen, read = [], readers.read_clip

  def noted(source, times, **how):
    seen.extend(times.reshape(-1, 4))
    return read(source, times, **how)
  monkeypatch.setattr(readers, "read_clip", noted)
  return seen


def train(made, cache, steps=4):
  batches = pipeline.train_batches(*made, batch=4, start_step=0, cache=cache)
  taken = list(itertools.islice(batches, steps))
  batches.close()
  return taken


def held_out(made, cache):
  return list(pipeline.eval_batches(*made, made[0].rows("val"), batch=4, views=2, crops=3, cache=cache))


def check_same(some, others):
  for a, b in zip(some, others, strict=True):
    assert a.keys() == b.keys()
    for key in ("video", "time_s", "row", "copy", "mask"):
      np.testing.assert_array_equal(a[key], b[key])


def files(made):
  return sorted(Path(made[1].data.cache_dir).glob("??/*"))


def test_batches_are_the_same_with_a_cache_and_nothing_is_decoded_twice(made, decoded):
  want, cache = [*train(made, None), *held_out(made, None)], pipeline.open_cache(*made)
  check_same([*train(made, cache), *held_out(made, cache)], want)
  assert len(files(made)) == 4 * 2 + 2 * 2
  decoded.clear()
  check_same([*train(made, cache), *held_out(made, cache)], want)
  assert not decoded and all(b["mask"].all() for b in train(made, cache))


def test_worker_processes_fill_it_and_are_not_started_once_it_is_full(made):
  want, cache = train(made, None, 5), pipeline.open_cache(*made)
  made[1].data.workers = 2
  check_same(train(made, cache, 5), want)
  assert len(files(made)) == 8
  batches = pipeline.train_batches(*made, batch=4, start_step=0, cache=cache)
  check_same(list(itertools.islice(batches, 5)), want)
  assert not multiprocessing.active_children()
  batches.close()


@pytest.mark.parametrize("harm", ["flip", "cut", "longer", "empty"])
def test_a_damaged_clip_is_decoded_again_with_a_warning(made, decoded, caplog, harm):
  want, cache = train(made, pipeline.open_cache(*made)), pipeline.open_cache(*made)
  data = bytearray(files(made)[3].read_bytes())
  data[100] ^= 1
  files(made)[3].write_bytes({"flip": data, "cut": data[:-9], "longer": data + b"0", "empty": b""}[harm])
  decoded.clear()
  check_same(train(made, cache), want)
  assert len({tuple(times) for times in decoded}) == 1 and "damaged cached clip" in caplog.text
  decoded.clear()
  check_same(train(made, cache), want)
  assert not decoded


def test_another_way_of_reading_is_another_clip(made):
  train(made, pipeline.open_cache(*made))
  for i, change in enumerate(({"resize": 20}, {"mask": ((0.0, 0.0, 0.5, 0.5),)}, {"fps": 4.0})):
    made[1].data.update(change)
    train(made, pipeline.open_cache(*made))
    assert len(files(made)) == 8 * (i + 2)
  made[1].data.max_pixels -= 1
  train(made, pipeline.open_cache(*made))
  assert len(files(made)) == 32


def test_a_clip_that_fails_stays_failed_and_one_of_a_refused_file_is_not_shown(made, tmp_path):
  broken = made[0].table.path.iloc[1]
  whole = (tmp_path / broken).read_bytes()
  (tmp_path / broken).write_bytes(whole[:200])
  cache = pipeline.open_cache(*made)
  for _ in range(2):
    for batch in train(made, cache):
      assert (batch["mask"] == (batch["row"] != 1)).all() and not batch["video"][batch["row"] == 1].any()
  (tmp_path / broken).write_bytes(whole)
  train(made, cache)
  guarded = guard.guard(made[0], tmp_path, made[1])
  guarded.source.refused[broken] = "hangs"
  for batch in train((guarded, made[1]), cache):
    assert (batch["mask"] == (batch["row"] != 1)).all()


def test_what_a_killed_writer_left_is_removed(made):
  cache = pipeline.open_cache(*made)
  train(made, cache)
  left = files(made)[0].with_suffix(".1_1.tmp")
  left.write_bytes(b"half")
  pipeline.open_cache(*made)
  assert left.exists()  # its writer may be at work
  os.utime(left, (time.time() - 7200,) * 2)
  pipeline.open_cache(*made)
  assert not left.exists() and len(files(made)) == 8


def test_a_disk_that_fails_costs_a_warning(made, tmp_path, caplog):
  (tmp_path / "file").write_text("")
  check_same(train(made, ClipCache(str(tmp_path / "file"))), train(made, None))
  assert "cannot be written" in caplog.text


def test_what_cannot_be_kept_is_said_before_the_first_clip(made, decoded):
  made[1].data.cache_max_gb = 1e-6
  with pytest.raises(ConfigError, match=r"would take 0.0 GB.*\n.*cache_dir.*\n?.*cache=False"):
    pipeline.open_cache(*made)
  made[1].augment.copies = 0
  with pytest.raises(ConfigError, match=r"time_jitter.*\n.*augment.copies=4"):
    configs.check(made[1])
  assert not decoded
  made[1].augment.time_jitter = False
  configs.check(made[1])


def test_a_run_that_reads_clips_in_every_epoch_is_the_same_with_a_cache(tiny_csv, tmp_path):
  results = []
  for cache in (False, True):
    config = tiny.make_config(tiny_csv, tmp_path, features=dict(cache=False),
                              data=dict(cache=cache, cache_dir=str(tmp_path / "clips")))
    run.run(config, tmp_path / f"run_{cache}")
    results.append((tmp_path / f"run_{cache}" / "predictions_test.csv").read_text())
  assert results[0] == results[1]
  assert len(list((tmp_path / "clips").glob("??/*.clip"))) == 24
