import dataclasses
import hashlib
import io

import av
import numpy as np
import pytest

from vft.data.builders import echo_heart, echo_phantom, echo_physics

HEARTS = {label: [echo_heart.draw_heart(patient, label) for patient in range(first, first + 70)]
          for label, first in zip(echo_heart.LABELS, (1000, 2000, 3000), strict=True)}


def over_the_cycle(heart, num_phases=64):
  """Area (mm^2) and volume (ml) of the cavity at equal steps of one cycle."""
  times = np.linspace(0, 60 / heart.heart_rate, num_phases, endpoint=False)
  return echo_heart.cavity(heart, echo_heart.contraction(heart, times, heart.heart_rate)[0])


def decode(video):
  with av.open(io.BytesIO(video)) as container:
    frames = list(container.decode(video=0))
    return np.stack([f.to_ndarray(format="rgb24") for f in frames]), np.array([f.time for f in frames])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  path = tmp_path_factory.mktemp("tfds")
  echo_phantom.load_builder(str(path), "tiny")
  return path


@pytest.fixture(scope="module")
def records(folder):
  builder = echo_phantom.load_builder(str(folder), "tiny")
  return {split: list(builder.as_data_source(split)) for split in ("train", "validation", "test")}


def test_a_clip_is_the_same_in_this_process_and_in_a_worker(records):
  record = min(records["test"], key=lambda r: r["id"])
  label = echo_heart.LABELS[record["label"]]
  again = echo_physics.make_clip(int(record["patient"][1:]), 1, label)
  digest = [hashlib.sha256(decode(v)[0].tobytes()).hexdigest() for v in (record["video"], again["video"])]
  assert digest[0] == digest[1]
  assert record["ejection_fraction"] == np.float32(again["ejection_fraction"])


def test_no_patient_is_in_two_splits_and_each_has_one_label(records):
  patients = {split: {r["patient"] for r in rows} for split, rows in records.items()}
  assert {split: len(p) for split, p in patients.items()} == echo_phantom.NUM_PATIENTS["tiny"]
  assert len(set.union(*patients.values())) == sum(map(len, patients.values()))
  rows = [r for split in records.values() for r in split]
  assert len(rows) == 2 * len({r["patient"] for r in rows}) == len({r["id"] for r in rows})
  assert len({(r["patient"], r["label"], r["segment"]) for r in rows}) == len({r["patient"] for r in rows})


@pytest.mark.parametrize("config", ["full", "tiny"])
def test_labels_are_balanced_in_each_split(config):
  for members in echo_phantom.patients(config).values():
    counts = [sum(label == name for _, label in members) for name in echo_heart.LABELS]
    assert sum(counts) == len(members) and max(counts) - min(counts) <= 1


def test_video_has_its_size_length_and_frame_rate(records):
  for record in records["validation"]:
    frames, times = decode(record["video"])
    assert frames.shape[1:] == (128, 128, 3) and frames.dtype == np.uint8
    np.testing.assert_allclose(np.diff(times), 1 / record["frame_rate"], atol=1e-4)
    assert 20 <= record["frame_rate"] <= 32 and 50 <= record["heart_rate"] <= 100
    assert len(frames) / record["frame_rate"] >= 1.25
    assert frames.std() > 20 and np.abs(np.diff(frames.astype(int), axis=0)).mean() > 1


def test_ejection_fraction_is_that_of_the_moving_cavity():
  limits = {"normal": (52, 70), "globally_reduced": (20, 40), "regional_wall_motion": (40, 68)}
  for label, hearts in HEARTS.items():
    for heart in hearts:
      volume = over_the_cycle(heart)[1]
      assert 100 * (1 - volume.min() / volume.max()) == pytest.approx(echo_heart.ejection_fraction(heart), abs=1)
      assert limits[label][0] - 0.1 <= echo_heart.ejection_fraction(heart) <= limits[label][1] + 0.1


def test_volume_of_a_smooth_heart_at_rest_is_that_of_a_truncated_ellipsoid():
  heart = HEARTS["normal"][0]
  smooth = dataclasses.replace(heart, bumps=np.zeros((5, 2)))
  half, stop = echo_heart.EQUATOR * smooth.length, smooth.length * (1 - echo_heart.EQUATOR)
  exact = np.pi * smooth.radius**2 * (half + stop - (half**3 + stop**3) / (3 * half**2)) / 1000
  assert echo_heart.cavity(smooth, [0.0])[1][0] == pytest.approx(exact, rel=2e-3)


def test_the_wall_thickens_in_systole_and_a_still_segment_does_not_move():
  heart = next(h for h in HEARTS["regional_wall_motion"] if h.affected == "lateral_mid")
  y = np.array([0.5 * heart.length])
  thickness, inner = [], []
  for side in (-1.0, 1.0):
    edges = [width * side for width in echo_heart.halfwidths(heart, np.array([side]), y)]
    x = np.array([[echo_heart.move(heart, edge, y, q)[0][0] for q in (-0.4, 0.6)] for edge in edges])
    thickness.append(np.abs(x[1] - x[0]))
    inner.append(abs(x[0, 1] - x[0, 0]))
  assert thickness[0][1] > 1.2 * thickness[0][0]  # the septum
  assert inner[1] < 0.25 * inner[0]


def test_size_over_the_cycle_does_not_tell_the_label():
  """Mean area over a cycle and wall thickness at mid-cycle: the classes differ by no more than sampling noise."""
  for measure in (lambda h: over_the_cycle(h)[0].mean(), lambda h: h.wall, lambda h: np.abs(h.bumps).sum()):
    values = [np.array([measure(h) for h in hearts]) for hearts in HEARTS.values()]
    for one, other in ((0, 1), (0, 2), (1, 2)):
      noise = np.hypot(values[one].std(), values[other].std()) / np.sqrt(len(values[one]))
      assert abs(values[one].mean() - values[other].mean()) < 3 * noise


def test_the_start_in_the_cycle_does_not_tell_the_label():
  for hearts in HEARTS.values():
    views = [echo_physics.draw_view(np.random.default_rng(i), heart) for i, heart in enumerate(hearts)]
    phase = np.array([view.start * view.heart_rate / 60 for view in views])
    assert abs(phase.mean() - 0.5) < 0.12 and phase.std() > 0.2


def test_what_a_killed_preparation_left_is_cleared_and_made_anew(tmp_path, monkeypatch):
  left = tmp_path / "echo_phantom" / "tiny" / "incomplete.ABC123_1.0.0"
  left.mkdir(parents=True)
  (left / "echo_phantom-train.array_record-00000-of-00001").write_bytes(b"half a file")
  monkeypatch.setitem(echo_phantom.NUM_PATIENTS, "tiny", {"train": 1, "validation": 1, "test": 1})
  builder = echo_phantom.load_builder(str(tmp_path), "tiny")
  assert len(builder.as_data_source("test")) == 2 and not left.exists()
