"""Heads over procedures and patients, their batches, and whole runs of both."""
import csv

import jax
import numpy as np
import pytest

from tests import tiny
from tests.clips import write_clip
from vft import predict, run, sequences
from vft.data import sequences as of_data
from vft.data.manifest import make_manifest
from vft.errors import ConfigError
from vft.features import Features
from vft.models import heads, pooling, temporal

VECTORS = np.random.default_rng(0).normal(size=(2, 12, 8)).astype(np.float32)
GRID = (12, 1, 1)


def init(head, **kwargs):
  return head.init(jax.random.key(0), VECTORS, GRID, **kwargs)


@pytest.mark.parametrize("kind", ["linear", "mlp", "tcn", "transformer"])
def test_a_moment_knows_nothing_of_later_ones(kind):
  head = heads.MomentHead((("phase", 3),), pooling.Spec(kind, hidden=(16,), depth=3, stages=2, unit="video"))
  variables = init(head)
  changed = VECTORS.copy()
  changed[:, 7:] += 1
  one, two = (head.apply(variables, x, GRID)["phase"] for x in (VECTORS, changed))
  assert one.shape == (2, 12, 3)
  np.testing.assert_allclose(one[:, :7], two[:, :7], atol=1e-6)
  assert np.abs(one[:, 7:] - two[:, 7:]).min(axis=(0, 2)).max() > 1e-3
  if kind in ("tcn", "transformer"):  # and the last one knows of the first
    changed = VECTORS.copy()
    changed[:, 0] += 1
    assert np.abs(head.apply(variables, changed, GRID)["phase"][:, 11] - one[:, 11]).max() > 1e-4


def test_long_causal_attention_equals_the_library(monkeypatch):
  from vft.models.ops import dot_product
  q, k, v = np.random.default_rng(1).normal(size=(3, 2, 30, 2, 4)).astype(np.float32)
  want = jax.nn.dot_product_attention(q, k, v, is_causal=True)
  monkeypatch.setattr(dot_product, "SMALL", 0)
  monkeypatch.setattr(dot_product, "PIECE", 1000)
  np.testing.assert_allclose(dot_product.attention(q, k, v, causal=True), want, atol=1e-6)
  assert np.abs(dot_product.attention(q, k, v) - want).max() > 1e-2


def test_the_stages_of_a_tcn_all_answer_in_training_and_the_last_one_else():
  head = heads.MomentHead((("phase", 3), ("tools", 2)), pooling.Spec(
      "tcn", hidden=(16,), stages=3, unit="video", kinds=(("tools", "multi"),)))
  variables = init(head)
  trained, answer = (head.apply(variables, VECTORS, GRID, train) for train in (True, False))
  assert {k: x.shape for k, x in trained.items()} == {"phase": (2, 12, 3, 3), "tools": (2, 12, 3, 2)}
  np.testing.assert_array_equal(trained["phase"][:, :, -1], answer["phase"])


@pytest.mark.parametrize("how", pooling.TEMPORAL)
def test_a_missing_clip_of_a_patient_changes_nothing(how):
  head = heads.PatientHead((("label", 3),), pooling.Spec("mlp", temporal=how, hidden=(5,), unit="patient"))
  variables = init(head)
  there = np.arange(12)[None] < np.array([[5], [12]])
  changed = np.where(there[..., None], VECTORS, 99)
  one, two = (head.apply(variables, x, GRID, False, there)["label"] for x in (VECTORS, changed))
  np.testing.assert_allclose(one, two, rtol=1e-6)
  alone = head.apply(variables, VECTORS[:1, :5], (5, 1, 1))["label"]
  np.testing.assert_allclose(one[:1], alone, atol=1e-5)
  assert np.isfinite(head.apply(variables, VECTORS, GRID, False, np.zeros((2, 12), bool))["label"]).all()


def test_coral_has_one_direction_and_ordered_thresholds():
  head = heads.Head((("grade", 3),), pooling.Spec(kinds=(("grade", "ordinal"),)))
  variables = head.init(jax.random.key(0), VECTORS[:, :1], (1, 1, 1))
  assert variables["params"]["grade"]["score"]["kernel"].shape == (8, 1)
  logits = np.asarray(head.apply(variables, VECTORS[:, :1], (1, 1, 1))["grade"])
  np.testing.assert_allclose(np.diff(logits, axis=1), -1 / 3, atol=1e-6)


def test_sinusoids_are_those_of_the_paper():
  np.testing.assert_allclose(temporal.sinusoids(5, 4)[3], [np.sin(3), np.sin(0.03), np.cos(3), np.cos(0.03)], rtol=1e-5)


def test_sequences_are_filled_up_to_few_lengths():
  lengths = {sequences._filled(n) for n in range(1, 7200)}
  assert len(lengths) == 15 and all(n <= sequences._filled(n) <= max(64, 1.5 * n) for n in range(1, 7200))


def read(path):
  with path.open() as file:
    return list(csv.DictReader(file))


def write_procedures(folder, videos=8):
  """A CSV file of procedures of two phases: dark, then bright, with a gap between them; 2 groups share no video."""
  rng, rows = np.random.default_rng(0), [("path", "label", "group", "start_s", "end_s")]
  for i in range(videos):
    change, length = 3 + i % 3, 8
    grey = np.where(np.arange(4 * length) < 4 * change, 40, 200)
    video = (grey[:, None, None, None] + rng.integers(0, 30, (4 * length, 32, 32, 1))).astype(np.uint8)
    write_clip(folder / f"v{i}.mp4", np.repeat(video, 3, axis=-1), fps=4)
    rows += [(f"v{i}.mp4", "first", f"p{i}", 0, change), (f"v{i}.mp4", "second", f"p{i}", change + 0.5, length)]
  with (folder / "phases.csv").open("w", newline="") as file:
    csv.writer(file).writerows(rows)
  return folder / "phases.csv"


def phases_config(folder, **updates):
  return tiny.make_config(write_procedures(folder), folder, **{
      "data": dict(num_frames=2, fps=4.0, resize=32, size=32), "train": dict(batch=4, epochs=150, eval_every=50),
      "model": dict(head="tcn", hidden=(16,), depth=2, stages=2),
      "sequence": dict(unit="video", fps=2.0, boundary_s=1.0), **updates})


def test_phases_are_learnt_measured_and_predicted_for_new_videos(tmp_path):
  config = phases_config(tmp_path, controls=("majority",))
  result = run.run(config, tmp_path / "run")
  test = result["test"]["video"]
  assert test["accuracy"]["value"] > 0.9 > result["controls"]["majority"]["video"]["accuracy"]["value"]
  assert test["video/strict/jaccard"]["value"] > 0.8 and test["edit"]["n"] == result["data"]["groups"]["test"]
  table = read(tmp_path / "run/predictions_test.csv")
  assert [row["label"] for row in table if row["id"].startswith(table[0]["path"])].count("") > 0  # the gap
  predict.predict_files(str(tmp_path / "run"), [str(tmp_path / "v0.mp4"), str(tmp_path / "v1.mp4")],
                        str(tmp_path / "out.csv"))
  said = read(tmp_path / "out.csv")
  assert [row["start_s"] for row in said[:3]] == ["0.000", "0.500", "1.000"] and len(said) == 32
  assert [row["predicted"] for row in said[:16:5]] == ["first", "first", "second", "second"]
  predict.predict_files(str(tmp_path / "run"), [str(tmp_path / "v0.mp4")], str(tmp_path / "segments.csv"),
                        asked=predict.Asked(smooth_s=0.5, segments=True))
  parts = read(tmp_path / "segments.csv")
  assert [row["predicted"] for row in parts] == ["first", "second"] and parts[0]["start_s"] == "0.000"
  assert parts[0]["end_s"] == parts[1]["start_s"] and sum(int(row["lines"]) for row in parts) == 16
  write_clip(tmp_path / "odd.mp4", np.zeros((35, 32, 32, 3), np.uint8), fps=4)
  predict.predict_files(str(tmp_path / "run"), [str(tmp_path / "odd.mp4")], str(tmp_path / "odd.csv"))
  assert (read(tmp_path / "odd.csv")[-1]["start_s"], read(tmp_path / "odd.csv")[-1]["end_s"]) == ("8.500", "8.750")


def test_a_procedure_that_is_stopped_goes_on_as_if_it_had_not(tmp_path):
  class Enough(Exception):
    pass
  left = iter(range(2))

  def stop():
    if next(left, None) is None:
      raise Enough
  config = phases_config(tmp_path, train=dict(batch=4, epochs=4))
  whole = run.run(config, tmp_path / "whole")
  with pytest.raises(Enough):
    run.run(config, tmp_path / "broken", stop)
  assert run.run(config, tmp_path / "broken")["test"] == whole["test"]


def test_a_patient_is_pooled_by_attention_in_training_too(tiny_csv, tmp_path):
  config = tiny.make_config(tiny_csv, tmp_path, sequence=dict(unit="patient"), model=dict(temporal="attention"),
                            train=dict(batch=4, epochs=10))
  result = run.run(config, tmp_path / "run")
  assert result["test"].keys() == {"patient"}
  assert result["test"]["patient"]["accuracy"]["n"] == result["data"]["groups"]["test"]
  predict.predict_files(str(tmp_path / "run"), [str(tiny_csv.parent / "p0_0.mp4"), str(tiny_csv.parent / "p0_1.mp4")],
                        str(tmp_path / "out.csv"))
  said = read(tmp_path / "out.csv")
  assert len(said) == 1 and said[0]["predicted"] in tiny.CLASSES


def test_a_batch_of_patients_says_which_clips_are_there(tiny_csv, tmp_path):
  config = tiny.make_config(tiny_csv, tmp_path, sequence=dict(unit="patient"))
  made = of_data.make(make_manifest(config), config)
  assert isinstance(made, of_data.Sequences)
  lost = int(made.members[0][0])
  kept = Features({(row, 0): np.full((1, 1, 4), row + 1.0, np.float32) for row in range(24) if row != lost}, {lost})
  split = made.table.split.iloc[0]
  batch = next(sequences.eval_batches(kept, made, split, 64))
  place = batch["row"].tolist().index(0)
  assert batch["present"][place, 0, :3].tolist() == [False, True, False] and batch["mask"].sum() == made.count(split)
  assert batch["tokens"][place, 0, 1, 0] == made.members[0][1] + 1


def test_a_trunk_that_trains_cannot_have_sequences(tmp_path):
  config = phases_config(tmp_path, rules=((".*", "head"),), groups=dict(trunk=dict(train=False)))
  with pytest.raises(ConfigError):
    run.run(config, tmp_path / "run")
  config = phases_config(tmp_path, features=dict(cache=False))
  with pytest.raises(ConfigError, match=r"unit='video' trains a head on kept features(.|\n)*unit=clip"):
    run.run(config, tmp_path / "other")
