"""Tasks: cells to numbers and back, missing ones, and one message for a cell that is none."""
import re

import numpy as np
import pytest

from configs import default
from vft import startup, tasks
from vft.errors import ConfigError, DataError
from vft.tasks import Task

SINGLE = Task(classes=("cyst", "polyp"))
MANY = Task("tags", "multi", ("blood", "smoke"))
EF = Task("ef", "regression")


@pytest.mark.parametrize("task, cells, want", [
    (SINGLE, ["polyp", "", "cyst"], [1, -1, 0]),
    (MANY, ["smoke|blood", "-", "", "smoke"], [[1, 1], [0, 0], [-1, -1], [0, 1]]),
    (EF, ["55.5", "", "nan", "-3"], [55.5, np.nan, np.nan, -3.0]),
])
def test_cells_become_numbers_and_empty_ones_are_missing(task, cells, want):
  got = tasks.encode(task, cells, cells)
  np.testing.assert_array_equal(got, np.array(want, got.dtype))
  assert tasks.known(task, got).tolist() == [cell not in ("", "nan") for cell in cells]


@pytest.mark.fault("F22", "label 'polpy' in line 3", 'exit 3: "did you mean \'polyp\'?"')
@pytest.mark.parametrize("task, cell, words", [
    (SINGLE, "polpy", r"line 3: label 'polpy' unknown; did you mean 'polyp'"),
    (MANY, "blood|smoek", r"line 3: tags 'smoek' unknown; did you mean 'smoke'"),
    (EF, "55,5", r"line 3: ef is '55,5'; expected a number"),
    (EF, "inf", r"line 3: ef is 'inf'"),
])
def test_a_cell_that_is_none_says_where(task, cell, words):
  with pytest.raises(DataError, match=words):
    tasks.encode(task, [cell], ["line 3"])


def test_classes_are_found_sorted_and_grades_by_number():
  assert tasks.find_classes(Task("grade", "ordinal"), ["10", "2", "", "1"]).classes == ("1", "2", "10")
  assert tasks.find_classes(MANY._replace(classes=()), ["b|a", "-", "c"]).classes == ("a", "b", "c")
  assert tasks.find_classes(SINGLE, ["other"]) == SINGLE and tasks.find_classes(EF, ["1"]) == EF


@pytest.mark.parametrize("kind, outputs", [("single", 4), ("multi", 4), ("ordinal", 3), ("regression", 1)])
def test_a_head_gives_as_many_numbers_as_the_kind_needs(kind, outputs):
  assert Task("t", kind, () if kind == "regression" else tuple("abcd")).outputs == outputs


def test_no_tasks_mean_one_label_and_its_declared_classes():
  assert tasks.make_tasks({}, ("b", "a")) == (Task("label", classes=("b", "a")),)
  named = tasks.make_tasks({"ef": dict(kind="regression", column="EF", weight=0.5), "view": dict(classes=["x", "y"])})
  assert named == (Task("ef", "regression", (), "EF", 0.5), Task("view", classes=("x", "y")))
  assert tasks.from_json(tasks.to_json(named)) == named


def test_a_regression_is_scaled_by_its_known_targets():
  scaled = tasks.with_scale(EF, np.array([40, np.nan, 60], np.float32))
  assert (scaled.mean, scaled.std) == (50.0, 10.0)
  assert tasks.with_scale(EF, np.array([40.0, 40.0])).std == 1.0


def test_outputs_become_cells_again():
  assert tasks.decide(SINGLE, np.array([[0.9, 0.1], [0.2, 0.8]])) == ["cyst", "polyp"]
  assert tasks.decide(MANY, np.array([[0.9, 0.6], [0.1, 0.2]])) == ["blood|smoke", "-"]
  assert list(tasks.columns(EF, np.array([[55.5]]), alone=False)) == ["ef_predicted"]
  assert list(tasks.columns(SINGLE, np.array([[0.9, 0.1]]), alone=True)) == ["predicted", "p_cyst", "p_polyp"]


def test_what_is_said_of_grades_is_what_the_figures_count():
  grade = tasks.Task("grade", "ordinal", ("0", "1", "2"))
  probs = np.array([[0.4, 0.25, 0.35], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]])
  assert tasks.decide(grade, probs) == ["1", "2", "0"]  # not the most probable: the one with half on either side


def test_classes_of_the_config_or_source_are_those_of_a_lone_task():
  assert tasks.make_tasks({}, ("a", "b"))[0].classes == ("a", "b")
  assert [t.classes for t in tasks.make_tasks({"x": {}, "y": {}}, ("a", "b"))] == [(), ()]


@pytest.mark.parametrize(("wanted", "count", "words"), [
    ((Task(kind="ordinal", classes=tuple("abcd")),), 3, "4 classes: a, b, c, d.\nSet it to 4, or to 0"),
    ((Task(kind="regression"),), 2, "0 classes.\nSet it to 0."),
    ((Task("a", classes=tuple("xy")), Task("b", classes=tuple("xy"))), 2, "the tasks a, b.\nSet it to 0")])
def test_a_number_of_classes_that_does_not_fit_is_answered_with_one_that_does(wanted, count, words):
  config = default.get_config()
  config.model.update(name="videomae", variant="tiny", num_classes=count)
  with pytest.raises(ConfigError, match=words):
    startup.make_model(config, wanted)
  config.model.num_classes = int(re.search(r"Set it to (\d)", words)[1])
  assert startup.make_model(config, wanted).tasks == tuple((t.name, t.outputs) for t in wanted)
