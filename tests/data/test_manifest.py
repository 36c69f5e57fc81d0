import multiprocessing
import re
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest

from configs import default
from tests.clips import frames, write_clip
from vft.data import manifest
from vft.data.sources import csv_list
from vft.errors import ConfigError, DataError
from vft.tasks import Task


def make_folder(tmp_path, patients=6, clips=2, header="path,label,patient"):
  """Two classes; each video differs in one grey value."""
  lines = [header]
  for p in range(patients):
    for c in range(clips):
      write_clip(tmp_path / f"{p}_{c}.mp4", frames(10, first=20 + p, step=10 + c), crf=1)
      lines.append(f"{p}_{c}.mp4,{'weak' if p % 2 else 'normal'}" + (f",p{p}" if "patient" in header else ""))
  (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
  return make_config(tmp_path)


def make_config(tmp_path, **data):
  config = default.get_config()
  config.data.update(source=f"csv:{tmp_path}/list.csv", num_frames=4, fps=5.0, **data)
  return config


def edit(tmp_path, old, new):
  path = tmp_path / "list.csv"
  path.write_text(path.read_text().replace(old, new))


def test_columns_that_are_called_as_the_manifests_own_stay_what_they_are(tmp_path):
  config = make_folder(tmp_path, header="path,status,patient")
  config.tasks = {"status": {}}
  with pytest.raises(ConfigError, match=r"config.tasks.status is called as a column .*\n.*column='status'"):
    manifest.make_manifest(config)
  config.tasks = {"label": dict(column="status")}
  made, columns = manifest.make_test(config, manifest.make_manifest(config).tasks, ("status",))
  assert columns["status"].tolist() == made.table.label.tolist()


def test_a_manifest_holds_what_was_found(tmp_path):
  made = manifest.make_manifest(make_folder(tmp_path))
  table = made.table
  assert tuple(table.columns) == (*manifest.COLUMNS[:6], "label", *manifest.COLUMNS[6:])
  assert table.row.tolist() == list(range(12))
  assert (table.status == "ok").all() and (table.sha256.str.len() == 64).all()
  assert table.duration_s.tolist() == table.end_s.tolist() == pytest.approx([1.0] * 12)
  assert made.tasks == (Task(classes=("normal", "weak")),)
  assert made.grouped_by == "patient" and made.warnings == ()
  rows = np.concatenate([made.rows(s) for s in ("train", "val", "test")])
  assert sorted(rows) == list(range(12))
  some = np.array([0, 2])
  assert made.labels(some)["label"].tolist() == [0, 1] and made.groups(some).tolist() == ["p0", "p1"]


def test_many_labels_may_have_spaces_between_them_and_a_task_the_name_of_another_ones_column(tmp_path):
  config = make_folder(tmp_path, header="path,label,found")
  edit(tmp_path, ",weak", ",weak,polyp | blood")
  edit(tmp_path, ",normal", ",normal,polyp|blood")
  config.tasks = {"label": dict(kind="multi", column="found"), "grade": dict(column="label")}
  made = manifest.make_manifest(config)
  assert {t.name: t.classes for t in made.tasks} == {"label": ("blood", "polyp"), "grade": ("normal", "weak")}
  assert set(made.table.label) == {"polyp|blood"}
  assert made.table.grade.tolist() == ["normal", "normal", "weak", "weak"] * 3


@pytest.mark.parametrize("group", ["", ",group"])
def test_a_saved_manifest_comes_back_equal(tmp_path, group):
  config = make_folder(tmp_path, header="path,label")
  if group:  # each video is named as a patient
    lines = [line.split(",") for line in (tmp_path / "list.csv").read_text().split()]
    (tmp_path / "list.csv").write_text("\n".join(f"{a},{b},{'group' if a == 'path' else a}" for a, b in lines))
  made = manifest.make_manifest(config)
  made.save(tmp_path / "manifest.csv")
  back = manifest.load(tmp_path / "manifest.csv", config)
  assert back.sha256 == made.sha256 and back.tasks == made.tasks and back.grouped_by == made.grouped_by == "video"
  assert back.table.equals(made.table)
  assert (back.rows("train") == made.rows("train")).all()


def test_a_split_without_a_label_of_some_task_is_an_error_before_anything_is_trained(tmp_path):
  config = make_folder(tmp_path)
  made = manifest.make_manifest(config).table
  config.tasks = {"label": dict(kind="single"), "ef": dict(kind="regression")}
  rows = (tmp_path / "list.csv").read_text().split()
  cells = ["ef", *("" if split == "test" else "60" for split in made.split)]
  (tmp_path / "list.csv").write_text("\n".join(f"{row},{cell}" for row, cell in zip(rows, cells, strict=True)))
  with pytest.raises(DataError, match=r"None of the \d clips in test has a label of the task ef"):
    manifest.make_manifest(config)


@pytest.mark.fault("F21", "no column of patients", "warning; result says 'grouped by video'")
def test_without_patients_each_video_is_its_own_group_and_a_warning_says_so(tmp_path):
  made = manifest.make_manifest(make_folder(tmp_path, header="path,label"))
  assert made.grouped_by == "video" and made.groups(np.array([3])).tolist() == ["1_1.mp4"]
  assert made.warnings[0].startswith("no group (patient) is known")


def test_a_patient_or_a_class_that_is_spelt_in_two_ways_is_said(tmp_path):
  config = make_folder(tmp_path)
  edit(tmp_path, "0_1.mp4,normal,p0", "0_1.mp4,normal,P00")
  edit(tmp_path, "1_1.mp4,weak", "1_1.mp4,Weak")
  made = manifest.make_manifest(config)
  assert [w.partition(":")[0] for w in made.warnings[:2]] == [
      "1 patients (groups) are spelt in several ways, such as 'P00' = 'p0'", "label"]
  assert made.warnings[1].startswith("label: 'Weak' = 'weak' are classes of their own")
  config.data.classes = ("Weak", "normal", "weak")  # they are meant
  assert not any("classes of their own" in w for w in manifest.make_manifest(config).warnings)


def test_too_many_bad_videos_stop_the_run_with_reasons(tmp_path):
  config = make_folder(tmp_path)
  (tmp_path / "0_0.mp4").write_bytes(b"")
  (tmp_path / "1_0.mp4").write_text("hello")
  with pytest.raises(DataError, match=r"2 of 12 videos.*1 x empty file; 1 x not a video.\n  '0_0.mp4': empty file\n"):
    manifest.make_manifest(config)


@pytest.mark.fault("F1", "zero-byte .mp4", "skipped as 'empty file', counted; the run goes on")
def test_a_few_bad_videos_are_skipped_with_a_reason(tmp_path):
  config = make_folder(tmp_path)
  (tmp_path / "0_0.mp4").write_bytes(b"")
  config.data.max_bad_fraction = 0.1
  made = manifest.make_manifest(config)
  assert made.table.status[0] == "skipped" and made.table.reason[0] == "empty file"
  assert 0 not in np.concatenate([made.rows(s) for s in ("train", "val", "test")])
  assert made.warnings == ("1 of 12 videos cannot be used (8.3%): 1 x empty file",)
  made.save(tmp_path / "manifest.csv")
  assert manifest.load(tmp_path / "manifest.csv", config).sha256 == made.sha256


def test_a_skipped_row_of_an_official_split_is_not_among_its_rows(tmp_path):
  config = make_folder(tmp_path)
  config.data.max_bad_fraction = 0.1
  for p, split in enumerate(("train", "train", "val", "val", "test", "test")):
    edit(tmp_path, f",p{p}\n", f",p{p},{split}\n")
  edit(tmp_path, "patient\n", "patient,split\n")
  (tmp_path / "4_0.mp4").write_bytes(b"")
  assert manifest.make_manifest(config).rows("test").tolist() == [9, 10, 11]


def test_a_span_after_the_end_is_skipped(tmp_path):
  make_folder(tmp_path)
  edit(tmp_path, "patient\n", "patient,start_s,end_s\n")
  edit(tmp_path, "0_0.mp4,normal,p0", "0_0.mp4,normal,p0,5,6")
  made = manifest.make_manifest(make_config(tmp_path, max_bad_fraction=0.1))
  assert made.table.reason[0] == "starts after the end: 5 s of 1 s"
  assert made.warnings == ("1 of 12 spans are not in their video (8.3%): 1 x starts after the end",)
  with pytest.raises(DataError, match=r"1 of 12 spans .*\n  '0_0.mp4': starts after the end: 5 s of 1 s\n.*in seconds"):
    manifest.make_manifest(make_config(tmp_path))


def test_one_good_span_does_not_hide_those_of_the_same_video_that_are_not_in_it(tmp_path):
  make_folder(tmp_path)
  edit(tmp_path, "patient\n", "patient,start_s,end_s\n")
  more = "".join(f"{p}_0.mp4,{'weak' if p % 2 else 'normal'},p{p},200,400\n" for p in range(6))  # in milliseconds
  (tmp_path / "list.csv").write_text((tmp_path / "list.csv").read_text() + more)
  with pytest.raises(DataError, match=r"6 of 18 spans are not in their video \(33.3%\)"):
    manifest.make_manifest(make_config(tmp_path))


@pytest.mark.fault("F18", "copy of a file in train and test", "exit 3, both named")
def test_the_same_bytes_in_two_splits_are_an_error(tmp_path):
  config = make_folder(tmp_path)
  lines = (tmp_path / "list.csv").read_text().splitlines()
  splits = ["split"] + ["train"] * 4 + ["val"] * 4 + ["test"] * 4
  (tmp_path / "list.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, splits, strict=True)))
  assert manifest.make_manifest(config).rows("val").tolist() == [4, 5, 6, 7]
  (tmp_path / "5_1.mp4").write_bytes((tmp_path / "0_0.mp4").read_bytes())
  with pytest.raises(DataError, match=r"1 pairs.*\n  '0_0.mp4' in train = '5_1.mp4' in test"):
    manifest.make_manifest(config)


@pytest.mark.fault("F10", "videos shorter than the clip", "last frame repeated; a warning counts them")
def test_short_clips_are_counted(tmp_path):
  config = make_folder(tmp_path)
  config.data.num_frames = 20
  assert manifest.make_manifest(config).warnings == (
      "12 of 12 clips are shorter than 4 s; their last frame is repeated",)
  config.data.update(sampling="duration", duration_s=0.9)
  assert manifest.make_manifest(config).warnings == ()
  config.data.sampling = "uniform"
  assert manifest.make_manifest(config).warnings == ()


def test_an_edited_or_foreign_manifest_is_named(tmp_path):
  config = make_folder(tmp_path)
  with pytest.raises(DataError, match=r"list.csv is no manifest"):
    manifest.load(tmp_path / "list.csv", config)
  with pytest.raises(DataError, match=r"none.csv is no manifest"):
    manifest.load(tmp_path / "none.csv", config)


def test_the_same_config_makes_the_same_manifest(tmp_path):
  config = make_folder(tmp_path)
  assert manifest.make_manifest(config).sha256 == manifest.make_manifest(config).sha256


def test_few_shot_sets_training_clips_aside_and_leaves_val_and_test_alone(tmp_path):
  config = make_folder(tmp_path, patients=10)
  whole = manifest.make_manifest(config)
  config.data.update(shots=1, max_bad_fraction=0.0)  # set aside is not bad
  few = manifest.make_manifest(config)
  assert sorted(few.labels(few.rows("train"))["label"]) == [0, 1] and set(few.rows("train")) < set(whole.rows("train"))
  assert all((few.rows(s) == whole.rows(s)).all() for s in ("val", "test"))
  aside = few.table[few.table.status == "unused"]
  assert len(few.table) == 20 and set(aside.row) == set(whole.rows("train")) - set(few.rows("train"))
  assert set(aside.reason) == {"not in data.shots=1 a class"}
  few.save(tmp_path / "manifest.csv")
  assert manifest.load(tmp_path / "manifest.csv", config).sha256 == few.sha256
  config.data.shots = 9
  with pytest.raises(DataError, match=r"asks for 9 training clips of each class, but there are only \d of 'normal', "):
    manifest.make_manifest(config)


def test_every_clip_is_tested_on_in_one_fold_and_no_patient_is_in_two_splits(tmp_path):
  config = make_folder(tmp_path, patients=10)
  config.data.folds = 5
  whole = manifest.make_manifest(config)
  folds = [manifest.of_fold(whole, i, config) for i in range(1, 6)]
  assert sorted(np.concatenate([f.rows("test") for f in folds])) == list(range(20))
  for number, fold in enumerate(folds, 1):
    assert (fold.rows("test") == np.flatnonzero(whole.table.split == f"fold_{number}")).all()
    assert set(fold.labels(fold.rows("test"))["label"]) == {0, 1}
    parts = [set(fold.groups(fold.rows(s))) for s in ("train", "val", "test")]
    assert [len(p) for p in parts] == [6, 2, 2] and len(set.union(*parts)) == 10


def test_folds_of_official_splits_are_an_error_until_they_are_given_up(tmp_path):
  config = make_folder(tmp_path)
  for p, split in enumerate(("train", "train", "val", "val", "test", "test")):
    edit(tmp_path, f",p{p}\n", f",p{p},{split}\n")
  edit(tmp_path, "patient\n", "patient,split\n")
  config.data.folds = 3
  with pytest.raises(DataError, match=r"its own splits, \['test', 'train', 'val'\](.|\n)*--config.data.official=False"):
    manifest.make_manifest(config)
  config.data.official = False
  assert set(manifest.make_manifest(config).table.split) == {"fold_1", "fold_2", "fold_3"}
  config.data.folds = 7
  with pytest.raises(DataError, match=r"6 patients \(groups\) for config.data.folds=7"):
    manifest.make_manifest(config)


def test_a_layout_that_was_not_seen_anywhere_is_called_unconfirmed(tmp_path, monkeypatch):
  config = make_folder(tmp_path)
  assert not any("unconfirmed" in w for w in manifest.make_manifest(config).warnings)
  monkeypatch.setattr(csv_list.CsvSource, "CHECKED", "")
  assert manifest.make_manifest(config).warnings[0].startswith("layout unconfirmed: csv was written without")


def make_and_load(folder, rows):
  """For a process of its own; returns the most memory that it took in KiB, which getrusage begins with its parent's."""
  config = make_config(folder)
  made = manifest.make_manifest(config)
  assert len(made.table) == rows == made.table.id.nunique() and (made.table.status == "ok").all()
  assert made.table.groupby("group").split.nunique().max() == 1
  made.save(folder / "manifest.csv")
  assert manifest.load(folder / "manifest.csv", config).sha256 == made.sha256
  return int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])


@pytest.mark.fault("F27", "CSV of a million rows", "read, divided, saved and read again, below 4 GB")
@pytest.mark.parametrize("spans", [1000, pytest.param(50_000, marks=pytest.mark.long)])
def test_a_long_list_is_read_divided_saved_and_read_again(tmp_path, spans):
  videos = [write_clip(tmp_path / f"{v}.mp4", frames(10, first=20 + v)) for v in range(20)]
  rows = spans * len(videos)
  spelt = (f"{v}.mp4,{i * 5e-6:.6f},{i * 5e-6 + 0.5:.6f},{'abc'[v % 3]},p{v}" for i in range(spans) for v in range(20))
  (tmp_path / "list.csv").write_text("\n".join(("path,start_s,end_s,label,patient", *spelt)))
  with futures.ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
    assert pool.submit(make_and_load, tmp_path, rows).result() < 4e6
