"""Figures of every kind of task against hand counts, scikit-learn and scipy."""
import types
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics

from vft import evaluate, metrics, tasks
from vft.errors import ConfigError, DataError, RunError
from vft.explain import subject
from vft.report import figures
from vft.tasks import Task

POSITIVE = np.array([0, 1, 0, 0, 1, 0, 1, 0, 0, 1, 0, 0, 0, 0])  # from the highest score down: 4 of 14
SCORES = np.linspace(0.95, 0.3, 14)
BINARY = POSITIVE, np.stack([1 - SCORES, SCORES], 1)


def random_case(n=60, k=4, seed=0):
  rng = np.random.default_rng(seed)
  y, p = rng.integers(k, size=n), rng.dirichlet(np.ones(k), n).round(1) + 0.05
  return y, p / p.sum(1, keepdims=True)


def test_operating_points_by_hand():
  got = metrics.figures("single", *BINARY, classes="ab", rate=0.5)
  assert got["sensitivity@0.5"] == 3 / 4  # 3 positives stand above the 6th negative; 5 of 10 may be false
  assert got["specificity@0.5"] == 7 / 10  # two of four need 3 false ones
  assert metrics.figures("single", *BINARY, classes="ab")["sensitivity@0.9"] == 1 / 4  # one false of ten
  assert metrics.figures("single", *BINARY, classes="ab")["specificity@0.9"] == 1 - 6 / 10  # all four
  got = metrics.figures("single", POSITIVE, BINARY[1][::-1], classes="ab", rate=0.95)
  assert got["sensitivity@0.95"] == 0


def test_average_precision_by_hand():
  got = metrics.figures("single", *BINARY, classes="ab")
  assert got["auprc"] == pytest.approx((1 / 2 + 2 / 5 + 3 / 7 + 4 / 10) / 4)
  other = sklearn.metrics.average_precision_score(1 - POSITIVE, -SCORES)
  assert got["map"] == pytest.approx((got["auprc"] + other) / 2)


def test_single_label_figures_equal_scikit_learn():
  y, p = random_case()
  got, guess = metrics.figures("single", y, p, classes="wxyz", topk=2), p.argmax(1)
  assert got["kappa"] == pytest.approx(sklearn.metrics.cohen_kappa_score(y, guess))
  assert got["quadratic_kappa"] == pytest.approx(sklearn.metrics.cohen_kappa_score(y, guess, weights="quadratic"))
  assert got["auprc"] == got["map"] == pytest.approx(sklearn.metrics.average_precision_score(np.eye(4)[y], p))
  assert got["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(y, p, labels=[0, 1, 2, 3]))
  table = sklearn.metrics.multilabel_confusion_matrix(y, guess)
  assert [got[f"specificity/{c}"] for c in "wxyz"] == pytest.approx(table[:, 0, 0] / table[:, 0].sum(1))
  assert got["auroc/y"] == pytest.approx(sklearn.metrics.roc_auc_score(y == 2, p[:, 2]))
  assert got["auroc"] == pytest.approx(np.mean([got[f"auroc/{c}"] for c in "wxyz"]))
  two = metrics.figures("single", *BINARY, classes="ab")
  assert two["brier"] == pytest.approx(sklearn.metrics.brier_score_loss(*BINARY[:1], SCORES))


def test_ece_by_hand():
  p = np.array([[.92, .08], [.98, .02], [.3, .7], [.4, .6]])  # bins (.867, .933], (.933, 1], (.667, .733], (.533, .6]
  got = metrics.figures("single", [0, 1, 1, 0], p, classes="ab")["ece"]
  assert got == pytest.approx((abs(1 - .92) + abs(0 - .98) + abs(1 - .7) + abs(0 - .6)) / 4)
  apart = np.array([[.85, .15], [.88, .12]])  # 13 / 15 = .867 lies between
  assert metrics.figures("single", [0, 1], apart, classes="ab")["ece"] == pytest.approx((1 - .85 + .88) / 2)
  shared = np.array([[.9, .1], [.88, .12]])  # one bin: half are right at a mean of .89
  assert metrics.figures("single", [0, 1], shared, classes="ab")["ece"] == pytest.approx(.89 - .5)


def test_a_threshold_decides_class_1():
  got = metrics.figures("single", *BINARY, classes="ab", thresholds=0.72)
  assert got["recall/b"] == 2 / 4 and got["specificity/b"] == 7 / 10
  with pytest.raises(DataError, match="between 2 classes"):
    metrics.figures("single", *random_case(), classes="wxyz", thresholds=0.5)


def test_one_class_alone_has_no_ranking_and_no_kappa():
  got = metrics.figures("single", [1, 1], [[.2, .8], [.1, .9]], classes="ab")
  assert [got[k] for k in ("auroc", "auprc", "map", "kappa", "quadratic_kappa", "sensitivity@0.9")] == [None] * 6
  assert got["accuracy"] == 1 and got["specificity/b"] is None and got["recall/a"] is None


def test_rows_without_a_label_are_left_out():
  y, p = random_case()
  hidden = np.where(np.arange(60) % 3 == 0, -1, y)
  keep = hidden >= 0
  want = metrics.figures("single", y[keep], p[keep], classes="wxyz")
  assert metrics.figures("single", hidden, p, classes="wxyz") == want
  assert metrics.figures("single", np.where(keep, y, np.nan), p, classes="wxyz") == want
  with pytest.raises(DataError, match="no clips"):
    metrics.figures("single", -np.ones(60, int), p, classes="wxyz")


def test_many_labels_equal_scikit_learn():
  rng = np.random.default_rng(1)
  y, p = rng.integers(2, size=(40, 3)), rng.random((40, 3))
  got, said = metrics.figures("multi", y, p, classes="abc", thresholds=(.3, .5, .6)), p >= (.3, .5, .6)
  library = sklearn.metrics
  assert got["map"] == pytest.approx(library.average_precision_score(y, p, average="macro"))
  assert got["auroc"] == pytest.approx(library.roc_auc_score(y, p, average="macro"))
  assert got["macro_f1"] == pytest.approx(library.f1_score(y, said, average="macro"))
  assert got["micro_f1"] == pytest.approx(library.f1_score(y, said, average="micro"))
  assert got["subset_accuracy"] == pytest.approx(library.accuracy_score(y, said))
  assert got["accuracy"] == pytest.approx(1 - library.hamming_loss(y, said))
  assert got["auprc/b"] == pytest.approx(library.average_precision_score(y[:, 1], p[:, 1]))
  assert got["loss"] == pytest.approx(np.mean([library.log_loss(y[:, i], p[:, i]) for i in range(3)]))


def test_missing_labels_of_many_are_masked():
  y = np.array([[1, 0, -1], [0, -1, -1], [1, 1, -1], [-1, -1, -1]])
  p = np.array([[.9, .8, .1], [.2, .9, .9], [.4, .7, .9], [.1, .1, .9]])
  got = metrics.figures("multi", y, p, classes="abc")
  assert got["accuracy"] == 3 / 5  # the two errors: clip 0, label b; clip 2, label a
  assert got["subset_accuracy"] == 1 / 3  # clip 1; clip 3 has no label at all
  assert got["micro_f1"] == 4 / 6
  assert (got["f1/a"], got["f1/b"], got["f1/c"]) == (2 / 3, 2 / 3, None) and got["macro_f1"] == pytest.approx(2 / 3)
  assert (got["auroc/a"], got["auroc/b"], got["auroc/c"]) == (1, 0, None) and got["auroc"] == 0.5
  loss = -np.log([.9, .2]).mean(), -np.log(.8), -np.log([.4, .7]).mean()
  assert got["loss"] == pytest.approx(np.mean(loss))
  assert metrics.figures("multi", np.where(y < 0, np.nan, y), p, classes="abc") == got


def test_grades_by_hand():
  p = np.array([[.5, .3, .2], [.4, .15, .45], [.1, .2, .7], [.6, .4, 0.], [0., .3, .7]])  # medians 0, 1, 2, 0, 2
  got = metrics.figures("ordinal", [0, 0, 2, 2, 1], p, classes="abc")
  assert got["accuracy"] == 2 / 5 and got["within_one_accuracy"] == 4 / 5 and got["mae"] == 4 / 5
  assert got["balanced_accuracy"] == pytest.approx((1 / 2 + 0 + 1 / 2) / 3) and got["recall/b"] == 0
  want = sklearn.metrics.cohen_kappa_score([0, 0, 2, 2, 1], [0, 1, 2, 0, 2], weights="quadratic")
  assert got["quadratic_kappa"] == pytest.approx(want)
  assert got["loss"] == pytest.approx(-np.log([.5, .4, .7, 2.220446049250313e-16, .3]).mean())


def test_regression_equals_scikit_learn_and_scipy():
  rng = np.random.default_rng(0)
  y = rng.normal(55, 10, 30)
  x = 0.8 * y + rng.normal(8, 5, 30)
  got = metrics.figures("regression", np.r_[y, np.nan], np.r_[x, 0.0][:, None])
  assert got["mae"] == pytest.approx(sklearn.metrics.mean_absolute_error(y, x))
  assert got["rmse"] == pytest.approx(np.sqrt(np.mean((x - y) ** 2)))
  assert got["r2"] == pytest.approx(sklearn.metrics.r2_score(y, x))
  assert got["pearson"] == pytest.approx(scipy.stats.pearsonr(x, y)[0])
  spread = 1.96 * np.std(x - y, ddof=1)
  bland = [np.mean(x - y), np.mean(x - y) - spread, np.mean(x - y) + spread]
  assert [got[k] for k in ("bias", "loa_low", "loa_high")] == pytest.approx(bland)
  one = metrics.figures("regression", [50.0], [52.0])
  assert one == dict(mae=2, rmse=2, r2=None, pearson=None, bias=2, loa_low=None, loa_high=None)


@pytest.mark.parametrize("kind, labels, outputs, error", [
    ("multi", [[0, 2]], [[.5, .5]], DataError), ("multi", [[-1, -1]], [[.5, .5]], DataError),
    ("multi", [[0, 1]], [[.5, np.nan]], RunError), ("multi", [[0]], [[.5]], DataError),
    ("multi", [0, 1], [[.5, .5]], DataError), ("regression", [1.0, 2.0], [1.0], DataError),
    ("regression", [1.0], [np.inf], RunError), ("regression", [np.nan], [1.0], DataError),
    ("regression", [np.inf], [1.0], DataError), ("ordinal", [2], [[.5, .5]], DataError),
    ("single", [0.5], [[.5, .5]], DataError), ("sinlge", [0], [[.5, .5]], ConfigError)])
def test_what_cannot_be_measured_is_refused(kind, labels, outputs, error):
  with pytest.raises(error):
    metrics.figures(kind, labels, outputs, classes="ab")


@pytest.mark.parametrize("kind", metrics.KINDS)
def test_the_loss_alone_is_that_of_all_figures(kind):
  rng = np.random.default_rng(3)
  probs = rng.dirichlet(np.ones(3), 20)
  labels, outputs = {"multi": (rng.integers(-1, 2, (20, 3)), rng.random((20, 3))),
                     "regression": (np.append(rng.normal(size=19), np.nan), rng.normal(size=(20, 1)))}.get(
                         kind, (rng.integers(-1, 3, 20), probs))
  found = metrics.figures(kind, labels, outputs, classes=("a", "b", "c"))
  want = found["rmse" if kind == "regression" else "loss"]
  assert metrics.loss(kind, labels, outputs, classes=("a", "b", "c")) == pytest.approx(want, rel=1e-12)


def test_what_is_said_of_a_grade_is_its_median_in_confusions_reports_and_maps_too():
  task, p = Task("grade", "ordinal", ("0", "1", "2")), np.array([[0.35, 0.25, 0.4], [0.6, 0.2, 0.2]])
  manifest: Any = types.SimpleNamespace(
      tasks=(task,), level="video", unit="clip", grouped_by="video", labels=lambda _: {"grade": np.array([1, 0])},
      groups=lambda _: np.array(["a", "b"]))
  found = evaluate.confusion(evaluate.Predictions(np.arange(2), {"grade": p}), manifest)["video"]["grade"]
  assert found == [[1, 0, 0], [0, 1, 0], [0, 0, 0]] and tasks.decide(task, p) == ["1", "0"]
  said, right = figures._hits(task, np.array([1, 0]), p)
  assert said.tolist() == [0.25, 0.6] and right.tolist() == [1, 1]
  assert subject.find_target((task,), "", {"grade": p[:1]}).name == "1"
