"""What a person reads at the end of a run, as text of a pipe of 80 columns."""
import io

import pytest

from vft import tables


def figure(value, low, high, n=40):
  return dict(value=value, low=low, high=high, n=n)


def make_result(**data):
  level = {"accuracy": figure(.912, .86, .95), "balanced_accuracy": figure(.9, .85, .94),
           "macro_f1": figure(.89, .8, .9), "auroc": figure(None, None, None), "loss": figure(.3, .2, .4),
           "recall/[polyp]": figure(.5, .25, .75)}
  better = {k: dict(value=.58, low=.5, high=.66) for k in ("accuracy", "balanced_accuracy", "auroc")}
  same = dict(better, auroc=dict(value=-.001, low=-.01, high=.02))
  control = {"accuracy": figure(.333, .3, .4), "balanced_accuracy": figure(.3, .3, .3), "auroc": figure(.5, .5, .5)}
  return dict(
      test=dict(video=level, patient=level),
      controls={name: dict(video=control, patient=control, difference=dict(video=d, patient=d))
                for name, d in (("majority", better), ("single_frame", same))},
      cost=dict(total_s=252, by_cause=dict(data=25.2, step=226.8), peak_memory_gib=2.13),
      data=dict(dict(simulated=True, grouped_by="patient", source="tfds:echo_phantom", clips=dict(test=120)), **data))


@pytest.fixture
def show(monkeypatch):
  def run(result, columns=80):
    monkeypatch.setenv("COLUMNS", str(columns))
    file = io.StringIO()
    tables.print_results(result, file)
    return file.getvalue()
  return run


@pytest.mark.parametrize("columns", [80, 100])
def test_results_fit_the_width_without_colour_codes(show, columns):
  text = show(make_result(), columns)
  assert "\x1b" not in text and "…" not in text and max(map(len, text.splitlines())) <= columns


def row(text, name):
  return [" ".join(line.split()) for line in text.splitlines() if line.strip().startswith(name)]


def test_figures_show_value_and_interval_per_video_and_patient(show):
  text = show(make_result())
  assert row(text, "accuracy")[0] == "accuracy 0.91 [0.86, 0.95] 0.91 [0.86, 0.95]"
  assert row(text, "AUROC")[0] == "AUROC – –"
  assert row(text, "[polyp]") == ["[polyp] 0.50 [0.25, 0.75] 0.50 [0.25, 0.75]"]
  assert "bootstrap of 40 patients" in text and "clips: test 120" in text


def test_controls_show_their_value_and_the_difference(show):
  text = show(make_result())
  assert row(text, "accuracy")[1] == "accuracy 0.33 +0.58 [+0.50, +0.66] 0.33 +0.58 [+0.50, +0.66]"
  assert "0.50 +0.00 [-0.01, +0.02]" in row(text, "AUROC")[2]
  assert "Not shown to beat single frame per patient in AUROC." in text and "beat majority" not in text


def test_simulated_data_and_grouping_by_video_are_said(show):
  assert "SIMULATED" in show(make_result()) and "grouped by video" not in show(make_result())
  text = show(make_result(simulated=False, grouped_by="video"))
  assert "SIMULATED" not in text and "grouped by video" in text and "of 40 videos" in text


def test_no_patient_level_no_column(show):
  result = make_result()
  result["test"]["patient"] = None
  text = show(result)
  assert "per patient" not in text and "Not shown to beat single frame per video in AUROC." in text


def test_cost_is_time_memory_and_where_it_went(show):
  text = show(make_result())
  assert "4 min 12 s · peak memory 2.1 GiB" in text and "data 10 % · step 90 %" in text
  assert "not measured" in show({})


def test_of_many_classes_the_weakest_are_shown(show):
  result = make_result()
  result["test"]["video"] = {f"recall/c{i:02d}": figure(i / 50 if i < 49 else None, 0., 1.) for i in range(50)}
  text = show(result)
  assert "c09" in text and "c10" not in text and "10 lowest of 50" in text


def test_large_sets_show_three_digits_and_still_fit(show):
  result = make_result()
  result["test"]["video"]["accuracy"]["n"] = 1000
  text = show(result)
  assert "0.912 [0.860, 0.950]" in text and max(map(len, text.splitlines())) <= 80 and "…" not in text


def test_groups_tell_what_trains(capsys):
  rows = [dict(group="trunk", train=False, parameters=12_287_264, bytes=49_149_056, optimizer_bytes=0, lr=1e-3, wd=0.0,
               schedule="cosine", least_lr=1e-3, epoch=0),
          dict(group="head", train=True, parameters=3075, bytes=12_300, optimizer_bytes=24_600, lr=1e-3, wd=1e-4,
               schedule="cosine", least_lr=1e-5, epoch=0)]
  text = tables.print_groups(rows)
  assert [" ".join(x.split()) for x in capsys.readouterr().out.splitlines()] == [" ".join(x.split()) for x in
                                                                                text.splitlines()]
  assert row(text, "trunk") == ["trunk 12,287,264 46.9 MiB 0 B frozen – –"]
  assert row(text, "head") == ["head 3,075 12.0 KiB 24.0 KiB 1e-05–0.001 0.0001 cosine"]
  assert row(text, "all") == ["all 12,290,339 46.9 MiB 24.0 KiB 0.025 % trains"]
  assert all(line == line.rstrip() and len(line) <= 80 for line in text.splitlines())
  assert "cosine, after epoch 3" in tables.print_groups([{**rows[1], "epoch": 3}])


def test_calibration_takes_at_most_three_lines(show):
  task = dict(name="view", kind="single", classes=["none", "polyp"])
  after = {"ece": figure(.05, .03, .08), "recall/polyp": figure(.9, .8, .95), "specificity/polyp": figure(.7, .6, .8)}
  result = make_result(tasks=[task])
  result["test"]["video"] = {**result["test"]["video"], "ece": figure(.12, .1, .15)}
  plain = show(result).splitlines()
  result.update(test_calibrated=dict(video=after, patient=after), calibration=dict(
      view=dict(temperature=1.836, thresholds=[0.371], rule="youden")))
  text = show(result)
  assert text.splitlines() != plain and len(text.splitlines()) == len(plain) + 3
  assert "Calibrated (temperature 1.84): ECE per video 0.12 -> 0.05 [0.03, 0.08]" in text
  assert "At the threshold 0.37 (youden) for polyp:\n  sensitivity 0.90 [0.80, 0.95], specificity 0.70" in text
  result["calibration"]["view"]["thresholds"] = None
  assert len(show(result).splitlines()) == len(plain) + 1


def test_folds_have_a_table_of_their_mean_that_fits(show):
  result = make_result()
  across = dict(value=.8, low=.7, high=.9, std=.1, n=5, folds=[.7, .8, .9, .8, .8])
  result["folds"] = dict(count=5, test=dict(video=dict(accuracy=across), patient=dict(accuracy=across)))
  text = show(result)
  assert "Mean of 5 folds" in text and max(map(len, text.splitlines())) <= 80
  assert row(text, "accuracy")[1] == "accuracy 0.80 [0.70, 0.90] 0.80 [0.70, 0.90]"


def test_procedures_count_moments_and_show_the_figures_of_phases(show):
  def interval(value):
    return dict(value=value, low=value - 0.1, high=value + 0.1, n=8)
  test = {"accuracy": interval(0.8), "video/strict/jaccard": interval(0.61), "edit": interval(0.33)}
  tasks = [{"name": "phase", "kind": "single", "classes": ["a", "b"]}]
  text = show({"test": {"video": test},
               "data": {"unit": "video", "grouped_by": "patient", "clips": {"test": 900}, "tasks": tasks}})
  assert "moments: test 900" in text
  assert "Jaccard, mean over videos" in text and "0.61 [0.51, 0.71]" in text and "edit score" in text
