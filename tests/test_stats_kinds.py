"""The vectorised bootstrap of every kind of task against the plain loop that repeats rows, with the same draws."""
import time

import numpy as np
import pytest

from vft import metrics, stats

NAMES = ("a", "b", "c")


def groups_of(n, patients=8, seed=0):
  """Unevenly large patients in mixed order."""
  return np.random.default_rng(seed).permutation(np.arange(n) ** 2 // (n * n // patients) % patients)


def case(kind, n=60):
  """Labels, outputs and groups: coarse scores (ties), labels that one patient alone has, and missing ones."""
  rng, groups = np.random.default_rng(1), groups_of(n)
  if kind == "regression":
    y = rng.normal(55, 10, n)
    return np.where(np.arange(n) % 7 == 3, np.nan, y), (0.5 * y + 20 + rng.normal(0, 5, n))[:, None], groups
  if kind == "multi":
    y = rng.integers(2, size=(n, 3))
    y[:, 2] = groups == 3
    p = np.clip((rng.integers(0, 9, (n, 3)) + y) / 10, 0, 1)
    y[rng.random((n, 3)) < 0.2] = -1
    y[4] = -1
    return y, p, groups
  y = rng.integers(2, size=n)
  y[groups == 3] = 2
  p = rng.integers(1, 6, (n, 3)) / 4 + 0.25 * np.eye(3)[y]
  return np.where(np.arange(n) % 7 == 3, -1, y), p / p.sum(1, keepdims=True), groups


def loop(kind, y, out, groups, n, seed, **options):
  """{metric: (n,)} by building each resample and measuring it with the library."""
  y, out, groups = metrics.present(kind, y, out, groups)
  names, rows = np.unique(groups), []
  for weights in np.concatenate(list(stats.draws(len(names), n, seed))).astype(int):
    take = np.concatenate([np.tile(np.flatnonzero(groups == g), w) for g, w in zip(names, weights, strict=True)])
    rows.append(metrics.figures(kind, y[take], out[take], **options))
  return {k: np.array([np.nan if r[k] is None else r[k] for r in rows]) for k in rows[0]}


@pytest.mark.parametrize("kind, options", [
    ("single", dict(topk=2)), ("single", dict(topk=5, rate=0.75)), ("multi", {}),
    ("multi", dict(thresholds=(0.3, 0.5, 0.7), rate=0.8)), ("ordinal", {}), ("regression", {})])
def test_bootstrap_equals_the_loop_that_repeats_rows(kind, options):
  y, out, groups = case(kind)
  want = loop(kind, y, out, groups, 40, 3, classes=NAMES, **options)
  got = stats.bootstrap(y, out, groups, classes=NAMES, n=40, seed=3, kind=kind, **options)
  assert list(got) == list(want) == list(metrics.figures(kind, y, out, classes=NAMES, **options))
  if "ece" in want:
    whole = metrics.figures(kind, y, out, classes=NAMES, **options)["ece"]
    want["ece"] = np.maximum(want["ece"] - want["ece"].mean() + whole, 0)
  for k, values in want.items():
    limits = np.nanpercentile(values, (2.5, 97.5))
    np.testing.assert_allclose(got[k], limits, rtol=1e-12, atol=1e-12, err_msg=k)
    assert limits[0] < limits[1] or k.endswith("/c"), f"{k} does not vary: nothing was compared"  # c: one patient


def test_a_threshold_decides_in_the_figures_and_in_their_intervals():
  y, p = np.tile([0, 1], 10), np.tile([[.8, .2], [.7, .3]], (10, 1))
  got = stats.figures(y, p, np.arange(20), classes="ab", thresholds=0.25, n=50)
  assert got["accuracy"] == dict(value=1.0, low=1.0, high=1.0, n=20)
  want = loop("single", y, p, np.arange(20), 50, 0, classes="ab", thresholds=0.35)["kappa"]
  assert stats.figures(y, p, np.arange(20), classes="ab", thresholds=0.35, n=50)["kappa"]["high"] == want.max() == 0


def test_what_does_not_vary_in_a_resample_is_left_out():
  """Two patients of one video each: half of the resamples repeat one video, so have no slope."""
  got = stats.figures([1e6, 1e6 + 2], [1e6, 1e6 + 1], [0, 1], kind="regression", n=50)
  assert got["pearson"]["value"] == pytest.approx(1) and (got["pearson"]["low"], got["pearson"]["high"]) == (1, 1)
  assert got["r2"]["value"] == pytest.approx(0.5)
  thirds = stats.figures([0.1] * 3 + [0.7] * 7, [0.3] * 3 + [0.4] * 7, [0] * 3 + [1] * 7, kind="regression", n=50)
  assert (thirds["pearson"]["low"], thirds["pearson"]["high"]) == pytest.approx((1, 1))
  assert thirds["r2"]["low"] > -10  # and not the error over a spread of rounding
  alike = stats.figures([1, 1, 1, 1], np.tile([.2, .8], (4, 1)), np.arange(4), classes="ab", n=20)
  for name in ("kappa", "auroc", "auprc", "map", "sensitivity@0.9", "specificity@0.9"):
    assert alike[name] == dict(value=None, low=None, high=None, n=4), name


def test_missing_labels_do_not_count_as_patients():
  got = stats.figures([0, 1, -1, 1], np.tile([.5, .5], (4, 1)), [0, 1, 2, 3], classes="ab", n=10)
  assert got["accuracy"]["n"] == 3


def test_difference_is_paired_for_every_kind():
  y, out, groups = case("regression")
  got = stats.bootstrap_difference(y, out + 1, out, groups, kind="regression", n=20)["bias"]
  assert [got[k] for k in ("value", "low", "high")] == pytest.approx([1, 1, 1])


@pytest.mark.long
@pytest.mark.parametrize("kind", metrics.KINDS)
def test_ten_thousand_resamples_of_a_thousand_videos_take_five_seconds(kind):
  y, out, _ = case(kind, 1000)
  start = time.perf_counter()
  stats.bootstrap(y, out, np.arange(1000), classes=NAMES, n=10_000, kind=kind)
  assert time.perf_counter() - start < 5
