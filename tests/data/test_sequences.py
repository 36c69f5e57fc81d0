"""Moments of procedures and patients of many clips, made out of a manifest."""
import csv

import numpy as np
import pytest

from tests import tiny
from tests.clips import frames, write_clip
from vft.data import sequences
from vft.data.manifest import make_manifest
from vft.errors import DataError
from vft.tasks import Task

HEAD = ("path", "label", "group", "split", "start_s", "end_s")
DATA = dict(num_frames=3, fps=4.0)


def make(folder, rows, seconds=4, header=HEAD, tasks=None, data=DATA, **updates):
  """The manifest of `rows` over videos of 8 frames a second, as sequences; at 2 moments a second."""
  for i, path in enumerate(dict.fromkeys(row[0] for row in rows)):
    write_clip(folder / path, frames(8 * seconds, first=i, step=5), fps=8)
  with (folder / "list.csv").open("w", newline="") as file:
    csv.writer(file).writerows([header, *rows])
  config = tiny.make_config(folder / "list.csv", folder, data=data, **updates)
  config.tasks = tasks or {}
  return sequences.make(make_manifest(config), config)


def procedures(name="v", labels=("a", "b")):
  return [(f"{name}{i}.mp4", label, f"p{i}", split, start, end) for i, split in enumerate(("train", "val", "test"))
          for label, start, end in ((labels[0], 0.5, 1.5), (labels[1], 2.0, 3.0))]


VIDEO = dict(sequence=dict(unit="video", fps=2.0))


def test_moments_have_the_label_of_the_span_around_them_and_none_between(tmp_path):
  made = make(tmp_path, procedures(), **VIDEO)
  first = made.table.loc[made.members[0]]
  assert first.id.tolist() == ["v0.mp4@0", "v0.mp4@0.5", "v0.mp4@1", "v0.mp4@1.5", "v0.mp4@2", "v0.mp4@2.5"]
  assert first.label.tolist() == ["", "a", "a", "", "b", "b"]  # from 3.0 s on there is no span
  np.testing.assert_array_equal(made.labels(made.members[0])["label"], [-1, 0, 0, -1, 1, 1])
  assert made.sequences("val").tolist() == [1] and made.count("train") == 1 and made.level == "video"


@pytest.mark.parametrize("data", [DATA, dict(num_frames=3, fps=9.0, sampling="duration", duration_s=0.75)])
def test_a_moment_shows_nothing_that_comes_after_it(data, tmp_path):
  from vft.data import pipeline
  config = tiny.make_config(tmp_path / "list.csv", tmp_path, data=data, **VIDEO)
  made = make(tmp_path, procedures(), data=data, **VIDEO)
  batches = pipeline.eval_batches(made, config, made.members[2], batch=len(made.members[2]), views=1)
  times = next(batches)["time_s"][:, 0]
  np.testing.assert_allclose(times.max(axis=1), 0.5 * np.arange(6), atol=1e-9)
  np.testing.assert_allclose(times[1:], 0.5 * np.arange(1, 6)[:, None] - [0.5, 0.25, 0.0], atol=1e-9)


def test_spans_of_one_task_that_overlap_are_an_error_and_those_of_two_tasks_are_not(tmp_path):
  rows = [(f"v{i}.mp4", *cells, f"p{i}", split, start, end) for i, split in enumerate(("train", "val", "test"))
          for cells, start, end in ((("a", ""), 0, 2), (("b", ""), 2, 3), (("", "x|y"), 1, 3), (("", "-"), 0, 1))]
  header = ("path", "phase", "tools", *HEAD[2:])
  tasks = dict(phase=dict(kind="single"), tools=dict(kind="multi"))
  made = make(tmp_path, rows, header=header, tasks=tasks, **VIDEO)
  first = made.table.loc[made.members[0]]
  assert first.phase.tolist() == ["a", "a", "a", "a", "b", "b"]
  assert first.tools.tolist() == ["-", "-", "x|y", "x|y", "x|y", "x|y"]
  with pytest.raises(DataError, match=r"'v0\.mp4': label is 'a' from 0\.5 to 2\.5 s and 'b' from 2 s"):
    make(tmp_path, [(*row[:5], 2.5 if row[5] == 1.5 else row[5]) for row in procedures()], **VIDEO)


def test_a_span_that_holds_others_keeps_its_label_and_contradicts_each_of_them(tmp_path):
  rows = [(f"v{i}.mp4", label, f"p{i}", split, start, end) for i, split in enumerate(("train", "val", "test"))
          for label, start, end in (("a", 0, 2.5), ("a", 0.5, 1), ("a", 1.5, 2), ("b", 2.5, 3))]
  made = make(tmp_path, rows, **VIDEO)
  assert made.table.label[made.members[0]].tolist() == ["a"] * 5 + ["b"]
  with pytest.raises(DataError, match=r"'v0\.mp4': label is 'a' from 0 to 2\.5 s and 'b' from 1\.5 s"):
    make(tmp_path, [(row[0], "b" if row[4] == 1.5 else row[1], *row[2:]) for row in rows], **VIDEO)


def test_the_hash_of_a_run_is_that_of_the_manifest_that_was_saved(tmp_path):
  made = make(tmp_path, procedures(), **VIDEO)
  assert made.origin is not None and made.sha256 == made.origin.sha256 and len(made.table) > len(made.origin.table)


def studies(label=lambda patient, clip: "ab"[patient % 2]):
  return [(f"c{p}_{c}.mp4", label(p, c), f"p{p}", split, "", "") for split, ps in
          (("train", (0, 1)), ("val", (2, 3)), ("test", (4, 5))) for p in ps for c in range(1 + p % 3)]


def test_a_patient_has_its_clips_and_the_label_they_agree_on(tmp_path):
  made = make(tmp_path, studies(lambda p, c: "ab"[p % 2] if c == 0 else ""), seconds=1,
              tasks=dict(label=dict(kind="single"), other=dict(kind="single", column="group")),
              sequence=dict(unit="patient"))
  assert made.table.id.tolist() == [f"p{p}" for p in range(6)] and made.table.label.tolist() == list("ababab")
  assert [len(m) for m in made.members] == [1, 2, 3, 1, 2, 3] and made.level == "patient"
  assert made.clip_rows("test").tolist() == [7, 8, 9, 10, 11] and made.count("test") == 2
  assert made.shown.table.id.iloc[made.members[5]].tolist() == ["c5_0.mp4", "c5_1.mp4", "c5_2.mp4"]


def test_clips_of_a_patient_that_contradict_each_other_are_named(tmp_path):
  with pytest.raises(DataError, match=r"'p1' have several labels of label: \['a', 'b'\].(.|\n)*unit='clip'"):
    make(tmp_path, studies(lambda p, c: "ab"[(p + c) % 2]), seconds=1, sequence=dict(unit="patient"))


@pytest.mark.parametrize("unit", ["video", "patient"])
def test_files_that_cannot_be_read_are_named_also_where_there_are_no_others(tmp_path, unit):
  (tmp_path / "bad.mp4").write_bytes(b"no video")
  config = tiny.make_config(tmp_path / "list.csv", tmp_path, sequence=dict(unit=unit, fps=2.0))
  made, bad = sequences.of_files([str(tmp_path / "bad.mp4")], (Task(classes=("a", "b")),), config)
  assert list(bad) == [str(tmp_path / "bad.mp4")]
  assert made.members == () and made.table.empty and len(made.clip_rows("test")) == 0
