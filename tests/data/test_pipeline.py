import dataclasses
import itertools
import subprocess
import sys

import numpy as np
import pytest

from configs import default
from tests.clips import write_clip
from vft.data import manifest, pipeline, readers
from vft.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
  """20 noise videos, two classes, 12 of them for training."""
  folder, rng = tmp_path_factory.mktemp("clips"), np.random.default_rng(0)
  lines = ["path,label"]
  for i in range(20):
    write_clip(folder / f"{i}.mp4", rng.integers(0, 255, (20, 32, 40, 3), dtype=np.uint8))
    lines.append(f"{i}.mp4,{'ab'[i % 2]}")
  (folder / "list.csv").write_text("\n".join(lines))
  return manifest.make_manifest(make_config(folder))


def make_config(folder="", **augment):
  config = default.get_config()
  config.data.update(source=f"csv:{folder}/list.csv", num_frames=4, fps=5.0, resize=16, size=16, workers=0)
  config.augment.update(augment)
  return config


def take(batches, count):
  taken = list(itertools.islice(batches, count))
  batches.close()
  return taken


def same(a, b):
  return all((a[k] == b[k]).all() for k in ("video", "time_s", "row", "copy", "mask")) and \
      (a["label"]["label"] == b["label"]["label"]).all()


def rows(batches):
  return np.concatenate([b["row"] for b in batches]).tolist()


def test_a_training_batch_has_the_shapes_of_the_contract(made):
  (batch,) = take(pipeline.train_batches(made, make_config(), batch=5, start_step=0), 1)
  assert batch["video"].shape == (5, 1, 4, 16, 16, 3) and batch["video"].dtype == np.uint8
  assert batch["time_s"].shape == (5, 1, 4) and batch["time_s"].dtype == np.float64
  assert batch["mask"].all() and batch["mask"].dtype == bool
  assert batch["row"].dtype == batch["copy"].dtype == batch["label"]["label"].dtype == np.int32
  assert (batch["label"]["label"] == made.labels(batch["row"])["label"]).all()
  assert batch["video"].std() > 10 and batch["time_s"][0, 0] == pytest.approx([0.6, 0.8, 1.0, 1.2])


def test_every_epoch_shows_each_clip_once_in_another_order_and_batches_cross_its_border(made):
  n = len(made.rows("train"))
  batches = take(pipeline.train_batches(made, make_config(), batch=5, start_step=0), 5)
  order = rows(batches)
  assert sorted(order[:n]) == made.rows("train").tolist() and sorted(order[n:2 * n]) == made.rows("train").tolist()
  assert order[:n] != order[n:2 * n]
  assert np.concatenate([b["copy"] for b in batches]).tolist() == [g // n for g in range(25)]


def test_the_order_is_that_of_seed_and_step_alone(made):
  train = made.rows("train")
  places = pipeline.Order(len(train), 0)
  assert rows(take(pipeline.train_batches(made, make_config(), batch=4, start_step=2), 3)) == \
      [train[places[g]] for g in range(8, 20)]
  config = make_config()
  config.seed = 1
  assert rows(take(pipeline.train_batches(made, config, batch=4, start_step=2), 3)) != \
      [train[places[g]] for g in range(8, 20)]


def test_an_iterator_started_later_equals_the_tail(made):
  config = make_config(enabled=True)
  whole = take(pipeline.train_batches(made, config, batch=4, start_step=0), 6)
  tail = take(pipeline.train_batches(made, config, batch=4, start_step=4), 2)
  assert all(same(a, b) for a, b in zip(whole[4:], tail, strict=True))


def test_halves_of_two_processes_make_the_whole(made):
  config = make_config(enabled=True)
  whole = take(pipeline.train_batches(made, config, batch=4, start_step=1), 2)
  halves = [take(pipeline.train_batches(made, config, batch=4, start_step=1, process=(p, 2)), 2) for p in range(2)]
  for step in range(2):
    for p in range(2):
      assert (whole[step]["video"][2 * p:2 * p + 2] == halves[p][step]["video"]).all()
      assert (whole[step]["row"][2 * p:2 * p + 2] == halves[p][step]["row"]).all()


@pytest.mark.fault("F39c", "another number of data workers, from any step", "same batches, bit for bit")
def test_worker_processes_change_nothing(made):
  config, parallel = make_config(enabled=True), make_config(enabled=True)
  parallel.data.workers = 2
  for a, b in zip(take(pipeline.train_batches(made, config, batch=4, start_step=1), 5),
                  take(pipeline.train_batches(made, parallel, batch=4, start_step=1), 5), strict=True):
    assert same(a, b)


def test_start_times_are_drawn_anew_each_epoch_and_repeat_after_the_last_copy(made):
  starts = {}
  config = make_config(enabled=True, copies=2)
  for batch in take(pipeline.train_batches(made, config, batch=12, start_step=0), 3):
    starts[len(starts)] = dict(zip(batch["row"].tolist(), batch["time_s"][:, 0, 0].tolist(), strict=True))
    assert set(batch["copy"]) == {(len(starts) - 1) % 2}
  assert starts[0] == starts[2] and all(starts[0][r] != starts[1][r] for r in starts[0])


def test_without_jitter_training_shows_the_centre(made):
  (batch,) = take(pipeline.train_batches(made, make_config(enabled=True, time_jitter=False), batch=4, start_step=0), 1)
  assert batch["time_s"][:, 0, 0] == pytest.approx([0.6] * 4)


def test_evaluation_keeps_the_order_and_fills_the_last_batch(made):
  batches = list(pipeline.eval_batches(made, make_config(), np.array([7, 3, 5]), batch=2, views=3))
  assert rows(batches) == [7, 3, 5, -1] and [b["mask"].tolist() for b in batches] == [[True, True], [True, False]]
  assert batches[0]["video"].shape == (2, 3, 4, 16, 16, 3)
  assert batches[0]["time_s"][0, :, 0] == pytest.approx([0.0, 0.6, 1.2])
  assert not batches[1]["video"][1].any() and batches[1]["video"][0].any()


def test_halves_of_an_evaluation_are_those_of_each_batch(made):
  parts = [rows(pipeline.eval_batches(made, make_config(), np.arange(5), batch=4, views=1, process=(p, 2)))
           for p in range(2)]
  assert parts == [[0, 1, 4, -1], [2, 3, -1, -1]]


def test_copies_are_those_of_training(made):
  config = make_config(enabled=True, copies=2)
  (cached,) = pipeline.eval_batches(made, config, made.rows("train"), batch=24, views=1, copies=2)
  assert cached["row"][:4].tolist() == np.repeat(made.rows("train"), 2)[:4].tolist()
  shown = {(r, c): v for r, c, v in zip(cached["row"].tolist(), cached["copy"].tolist(), cached["video"], strict=True)}
  for batch in take(pipeline.train_batches(made, config, batch=12, start_step=0), 2):
    for r, c, video in zip(batch["row"].tolist(), batch["copy"].tolist(), batch["video"], strict=True):
      assert (shown[r, c] == video).all()


def test_a_single_frame_fills_the_clip(made):
  config = make_config()
  config.data.single_frame = True
  (batch,) = pipeline.eval_batches(made, config, np.arange(2), batch=2, views=1)
  assert (batch["video"] == batch["video"][:, :, :1]).all() and batch["video"].any()


def test_a_clip_that_fails_later_is_masked_and_keeps_its_row(made, tmp_path, monkeypatch):
  broken = made.table.path.iloc[3]
  read = type(made.source).read
  monkeypatch.setattr(type(made.source), "read",
                      lambda self, path: str(tmp_path / "gone.mp4") if path == broken else read(self, path))
  (batch,) = pipeline.eval_batches(made, make_config(), np.array([2, 3]), batch=2, views=1)
  assert batch["mask"].tolist() == [True, False] and batch["row"].tolist() == [2, 3] and not batch["video"][1].any()


@pytest.mark.fault("F26", "fewer clips than a batch", "exit 3: '12 training clips are fewer than a batch of 64'")
def test_impossible_batches_are_named(made):
  with pytest.raises(DataError, match="12 training clips are fewer than a batch of 64"):
    pipeline.train_batches(made, make_config(), batch=64, start_step=0)
  with pytest.raises(ConfigError, match=r"4 clips cannot be shared evenly by 3 processes.*such as 6"):
    pipeline.train_batches(made, make_config(), batch=4, start_step=0, process=(0, 3))
  with pytest.raises(DataError, match="no clips to evaluate"):
    pipeline.eval_batches(made, make_config(), np.array([], int), batch=4, views=1)


def test_workers_start_without_pandas_sklearn_and_tfds():
  sources = ", ".join(f"vft.data.sources.{name}" for name in ("csv_list", "folder", "tfds_source"))
  code = f"import sys, vft.data.pipeline, {sources};"
  code += "print([m for m in ('pandas', 'sklearn', 'tensorflow_datasets', 'flax') if m in sys.modules])"
  assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_repeats_put_copies_of_a_clip_side_by_side_and_each_is_drawn_anew(made):
  config = make_config(enabled=True, repeats=2)
  batches = take(pipeline.train_batches(made, config, batch=6, start_step=0), 6)  # three passes of 12 clips
  found = np.concatenate([np.stack([b["row"], b["copy"]], 1) for b in batches])
  assert (found[::2, 0] == found[1::2, 0]).all() and len(set(found[:12, 0])) == 6
  assert len({tuple(f) for f in found}) == 36 and set(found[:24, 1]) == {0, 1} and set(found[24:, 1]) == {2, 3}
  assert sorted(found[:24:2, 0]) == sorted(made.rows("train"))
  times = np.concatenate([b["time_s"][:, 0, 0] for b in batches])
  assert (times[::2] != times[1::2]).any()


def test_repeats_keep_to_the_number_of_copies(made):
  config = make_config(enabled=True, repeats=2, copies=4)
  batches = take(pipeline.train_batches(made, config, batch=12, start_step=0), 8)
  assert set(np.concatenate([b["copy"] for b in batches])) == {0, 1, 2, 3}


def test_three_crops_are_the_start_centre_and_end_of_the_long_side(made, tmp_path):
  wide = np.zeros((10, 32, 96, 3), np.uint8)
  wide[..., :32, 0], wide[..., 32:64, 1], wide[..., 64:, 2] = 250, 250, 250
  for name, video in (("wide", wide), ("tall", wide.swapaxes(1, 2))):
    write_clip(tmp_path / f"{name}.mp4", video, pix_fmt="yuv444p")
  for name in ("wide", "tall"):
    clip = readers.read_clip(str(tmp_path / f"{name}.mp4"), np.array([0.1, 0.5]), resize=16, max_pixels=10**6, crops=3)
    colours = clip.reshape(3, 2, 16, 16, 3)[:, :, 1:15, 1:15].argmax(-1)
    assert (colours == np.arange(3)[:, None, None, None]).all()
  (batch,) = pipeline.eval_batches(made, make_config(), np.array([3, 4]), batch=2, views=2, crops=3)
  assert batch["video"].shape == (2, 6, 4, 16, 16, 3) and batch["time_s"].shape == (2, 6, 4)
  times = batch["time_s"]
  assert (times[:, 0] == times[:, 2]).all() and (times[:, 2] < times[:, 3]).all()
  (centre,) = pipeline.eval_batches(made, make_config(), np.array([3, 4]), batch=2, views=2)
  np.testing.assert_array_equal(batch["video"][:, 1::3], centre["video"])
  assert (batch["video"][:, 0] != batch["video"][:, 1]).any()


def test_uniform_sampling_covers_the_whole_video(made):
  config = make_config()
  config.data.sampling = "uniform"
  (batch,) = pipeline.eval_batches(made, config, np.array([0]), batch=1, views=1)
  assert batch["time_s"][0, 0] == pytest.approx([0.25, 0.75, 1.25, 1.75])


@pytest.fixture
def uneven(made):
  """(manifest, config): 9 of the 12 training clips are left, 6 of class 0 and 3 of class 1; a balanced sampler."""
  train, table, config = made.rows("train"), made.table.copy(), make_config(enabled=True)
  table.loc[train[made.labels(train)["label"] == 1][:3], "status"] = "unused"
  config.data.sampler = "balanced"
  return dataclasses.replace(made, table=table), config


def test_balanced_shows_each_class_as_often_and_no_clip_again_before_all_of_its_class(uneven):
  manifest, config = uneven
  batches = take(pipeline.train_batches(manifest, config, batch=4, start_step=0), 9)  # 18 turns of a class
  shown, copies = rows(batches), np.concatenate([b["copy"] for b in batches])
  labels = np.concatenate([b["label"]["label"] for b in batches])
  pairs = set(map(tuple, labels.reshape(-1, 2).tolist()))
  assert pairs == {(0, 1), (1, 0)}  # in every two samples, in changing order
  for label, size in ((0, 6), (1, 3)):
    mine = np.array(shown)[labels == label].reshape(-1, size)
    assert all(len(set(walk)) == size for walk in mine) and len(set(map(tuple, mine.tolist()))) > 1  # shuffled anew
    assert copies[labels == label].tolist() == np.repeat(np.arange(18 // size), size).tolist()


@pytest.mark.fault("F39c", "another number of data workers, from any step", "same batches, bit for bit")
def test_balanced_is_the_same_from_any_step_for_any_workers_and_processes(uneven):
  manifest, config = uneven
  whole = take(pipeline.train_batches(manifest, config, batch=4, start_step=0), 6)
  config.data.workers = 1
  tail = take(pipeline.train_batches(manifest, config, batch=4, start_step=3), 3)
  config.data.workers = 0
  assert all(same(a, b) for a, b in zip(whole[3:], tail, strict=True))
  half = take(pipeline.train_batches(manifest, config, batch=4, start_step=3, process=(1, 2)), 3)
  assert rows(half) == np.array(rows(tail)).reshape(-1, 4)[:, 2:].ravel().tolist()


def test_a_clip_without_the_balanced_label_has_no_turn(uneven):
  manifest, config = uneven
  table = manifest.table.copy()
  table.loc[manifest.rows("train")[0], "label"] = ""
  order = pipeline.TrainOrder.make(dataclasses.replace(manifest, table=table), config)
  assert {order(g)[0] for g in range(40)} == set(manifest.rows("train")[1:])
