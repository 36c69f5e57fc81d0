"""Goodput: time of all starts of a run by cause, and what of it was lost."""
import json

import pytest

from vft.goodput import Sessions


def test_of_one_start_all_but_the_productive_is_overhead(tmp_path):
  sessions = Sessions(tmp_path, now=1000.0)
  found = sessions.summary({"start": 5.0, "step": 60.0, "eval": 10.0, "save": 5.0}, 100.0)
  assert found["goodput"] == pytest.approx(0.7) and found["starts"] == 1
  assert found["seconds"] == pytest.approx({"start": 5, "step": 60, "eval": 10, "save": 5, "other": 20,
                                            "away_or_lost": 0})


def test_time_between_starts_and_after_the_last_checkpoint_is_lost(tmp_path):
  first = Sessions(tmp_path, now=1000.0)
  first.note({"step": 10.0}, 20.0, 5)
  first.note({"step": 30.0}, 50.0, 10)  # killed later, at an unknown time
  second = Sessions(tmp_path, now=1100.0)
  second.note({"step": 10.0}, 20.0, 12)
  found = second.summary({"step": 40.0}, 50.0)
  assert found["total_s"] == pytest.approx(150) and found["starts"] == 2
  assert found["seconds"] == pytest.approx({"step": 70, "other": 30, "away_or_lost": 50})
  assert found["goodput"] == pytest.approx(70 / 150)


def test_a_torn_line_and_a_clock_that_went_back_do_no_harm(tmp_path):
  first = Sessions(tmp_path, now=1000.0)
  first.note({"step": 30.0}, 50.0, 10)
  with (tmp_path / "sessions.jsonl").open("a") as file:
    file.write('{"session": "x", "began": 3')
  later = Sessions(tmp_path, now=900.0)
  found = later.summary({"step": 40.0}, 50.0)
  assert found["seconds"]["away_or_lost"] == 0 and 0 < found["goodput"] <= 1
  json.dumps(found, allow_nan=False)


def test_a_folder_that_cannot_be_written_costs_the_note_alone(tmp_path, caplog):
  sessions = Sessions(tmp_path / "gone", now=0.0)
  sessions.note({"step": 1.0}, 1.0, 1)
  assert "gone/sessions.jsonl cannot be written" in caplog.text
  assert sessions.summary({"step": 1.0}, 1.0)["goodput"] == 1
