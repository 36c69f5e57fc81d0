"""The vectorised bootstrap against the plain loop that repeats rows."""
import time

import numpy as np
import pytest

from vft import metrics, stats

CLASSES = ("a", "b", "c")


def case(n=24, patients=6, classes=3, seed=0):
  """Videos of unevenly large patients in mixed order, coarse scores (ties), and a class that one patient alone has."""
  rng = np.random.default_rng(seed)
  groups = np.array([f"p{i}" for i in rng.permutation(np.arange(n) ** 2 // (n * n // patients) % patients)])
  labels = rng.integers(classes - 1, size=n)
  labels[groups == "p3"] = classes - 1
  probs = (rng.integers(1, 5, (n, classes)) / 4.0) + 0.5 * np.eye(classes)[labels]
  return labels, probs / probs.sum(1, keepdims=True), groups


def loop(labels, probs, groups, classes, topk, n, seed):
  """{metric: (n,)} by building each resample and measuring it with scikit-learn."""
  names = np.unique(groups)
  rows = []
  for weights in np.concatenate(list(stats.draws(len(names), n, seed))).astype(int):
    take = np.concatenate([np.tile(np.flatnonzero(groups == g), w) for g, w in zip(names, weights, strict=True)])
    rows.append(metrics.classification(labels[take], probs[take], classes=classes, topk=topk))
  return {k: np.array([np.nan if r[k] is None else r[k] for r in rows]) for k in rows[0]}


@pytest.mark.parametrize("classes, topk", [(3, 2), (3, 5), (2, 5), (4, 1)])
def test_bootstrap_equals_the_loop_that_repeats_rows(classes, topk):
  labels, probs, groups = case(classes=classes)
  names = CLASSES[:classes] if classes <= 3 else "abcd"
  want = loop(labels, probs, groups, names, topk, 60, 3)
  got = stats.bootstrap(labels, probs, groups, classes=names, topk=topk, n=60, seed=3)
  assert list(got) == list(want)
  last = want[f"recall/{names[-1]}"]
  assert np.isnan(last).any() and (last > 0).any()  # resamples with and without the last class are among them
  whole = metrics.classification(labels, probs, classes=names, topk=topk)["ece"]
  want["ece"] = np.maximum(want["ece"] - want["ece"].mean() + whole, 0)
  for k, values in want.items():
    np.testing.assert_allclose(got[k], np.nanpercentile(values, (2.5, 97.5)), rtol=0, atol=1e-12, err_msg=k)


def test_resamples_without_a_rare_class_do_not_take_its_figures_down_to_zero():
  labels = np.repeat([0, 1], (37, 3))  # 1 in 23 resamples has none of the three
  found = stats.bootstrap(labels, np.eye(2)[labels] * .8 + .1, np.arange(40), classes="ab")
  assert [found[k] for k in ("precision/b", "recall/b", "f1/b", "specificity/a")] == [(1.0, 1.0)] * 4
  y = np.stack([labels, labels], 1)
  many = stats.bootstrap(y, y * .8 + .1, np.arange(40), classes="ab", kind="multi")
  assert [many[f"{k}/b"] for k in ("precision", "recall", "f1", "specificity")] == [(1.0, 1.0)] * 4
  grades = stats.bootstrap(labels, np.eye(2)[labels] * .8 + .1, np.arange(40), classes="ab", kind="ordinal")
  assert grades["recall/b"] == (1.0, 1.0)


def test_resamples_with_one_class_are_left_out_of_auroc():
  labels, groups = np.array([0, 1]), np.array([0, 1])
  probs = np.array([[.6, .4], [.7, .3]])
  assert stats.bootstrap(labels, probs, groups, classes="ab", topk=5, n=50)["auroc"] == (0.0, 0.0)
  assert stats.bootstrap(labels * 0, probs, groups, classes="ab", topk=5, n=50)["auroc"] == (None, None)


def test_difference_is_paired():
  labels, a, groups = case()
  b = np.random.default_rng(1).permutation(a)
  got = stats.bootstrap_difference(labels, a, b, groups, classes=CLASSES, topk=2, n=40, seed=3)
  one, two = (loop(labels, p, groups, CLASSES, 2, 40, 3) for p in (a, b))
  value, other = (metrics.classification(labels, p, classes=CLASSES, topk=2) for p in (a, b))
  for k in value:
    limits = np.nanpercentile(one[k] - two[k], (2.5, 97.5))
    np.testing.assert_allclose([got[k]["low"], got[k]["high"]], limits, rtol=0, atol=1e-12, err_msg=k)
    assert got[k]["value"] == value[k] - other[k]
  same = stats.bootstrap_difference(labels, a, a, groups, classes=CLASSES, topk=2, n=100)
  assert all(v == dict(value=0.0, low=0.0, high=0.0) for v in same.values())


def test_videos_of_one_patient_are_drawn_together():
  """Ten videos each of 4 patients, two of them always right: an interval over videos would be far too narrow."""
  groups, right = np.repeat(np.arange(4), 10), np.repeat([1, 1, 0, 0], 10)
  labels = np.tile([0, 1], 20)
  probs = np.eye(2)[np.where(right == 1, labels, 1 - labels)] * .8 + .1
  by_patient = stats.bootstrap(labels, probs, groups, classes="ab", topk=5)["accuracy"]
  by_video = stats.bootstrap(labels, probs, np.arange(40), classes="ab", topk=5)["accuracy"]
  assert by_patient == (0.0, 1.0)  # 0 or 4 of 4 are right in 1 / 16 of the resamples each
  assert 0.3 < by_video[0] < by_video[1] < 0.7


def test_figures_hold_value_limits_and_number_of_groups():
  labels, probs, groups = case()
  got = stats.figures(labels, probs, groups, classes=CLASSES, topk=5, n=100)["accuracy"]
  assert got["n"] == len(set(groups))
  assert got["low"] <= got["value"] <= got["high"]
  assert got["value"] == metrics.classification(labels, probs, classes=CLASSES, topk=5)["accuracy"]


def test_the_interval_of_a_small_ece_holds_it():
  """Labels drawn by the probabilities themselves: ECE is 0.02, and 0.04 to 0.11 in resamples."""
  rng = np.random.default_rng(1)
  p = rng.uniform(size=200)
  labels, probs = (rng.uniform(size=200) < p).astype(int), np.stack([1 - p, p], axis=1)
  ece = stats.figures(labels, probs, np.arange(200), classes="ab")["ece"]
  assert ece["low"] < ece["value"] < ece["high"] < 0.1


def test_one_patient_gives_no_interval():
  labels, probs, _ = case()
  got = stats.figures(labels, probs, np.zeros(len(labels)), classes=CLASSES, topk=5, n=20)
  assert got["accuracy"]["value"] is not None and got["accuracy"]["low"] is None


def test_draws_are_seeded_and_of_full_size():
  one, two, other = (np.concatenate(list(stats.draws(5, 1000, s))) for s in (0, 0, 1))
  assert (one == two).all() and (one != other).any()
  assert one.shape == (1000, 5) and (one.sum(1) == 5).all()
  assert abs(one.mean(0) - 1).max() < 0.1 and abs(one.var(0) - 0.8).max() < 0.1  # binomial: 5 * 1/5 * 4/5


def test_two_thousand_resamples_take_less_than_a_second():
  rng = np.random.default_rng(0)
  labels, probs, groups = rng.integers(3, size=300), rng.dirichlet(np.ones(3), 300), rng.integers(100, size=300)
  start = time.perf_counter()
  stats.bootstrap(labels, probs, groups, classes=CLASSES, topk=5, n=2000)
  assert time.perf_counter() - start < 1


def test_folds_by_hand():
  got = stats.across_folds([0.7, None, 0.8, 0.9])
  half = 4.302653 * 0.1 * (1 / 3 + 1 / 2) ** 0.5  # t of 97.5 % with two degrees of freedom
  assert (got["value"], got["std"]) == (pytest.approx(0.8), pytest.approx(0.1))
  assert (got["n"], got["folds"]) == (3, [0.7, None, 0.8, 0.9])
  assert (got["low"], got["high"]) == (pytest.approx(0.8 - half), pytest.approx(0.8 + half))
  assert stats.across_folds([0.5])["low"] is None and stats.across_folds([None])["value"] is None
