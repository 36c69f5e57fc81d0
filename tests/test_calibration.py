"""Temperature and thresholds against what they are made of, and against a fine grid."""
import json

import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from vft import calibration, metrics
from vft.errors import ConfigError, DataError


def overconfident(n=400, k=3, by=2.5, seed=0):
  """Labels drawn from softmax(logits), and the probabilities of a model whose logits are `by` times too large."""
  rng = np.random.default_rng(seed)
  logits = rng.normal(0, 1.5, (n, k))
  y = np.array([rng.choice(k, p=p) for p in scipy.special.softmax(logits, axis=1)])
  return y, scipy.special.softmax(by * logits, axis=1).astype(np.float32)


def figures(y, p, entry):
  """Those of calibrated probabilities, decided at the thresholds."""
  return metrics.figures(entry["kind"], y, calibration.apply(p, entry), classes="abc"[:len(p[0])],
                         thresholds=calibration.thresholds(entry))


def test_temperature_undoes_overconfidence_and_has_the_least_loss():
  y, p = overconfident()
  entry = calibration.fit("single", y, p)
  assert entry["temperature"] == pytest.approx(2.5, rel=0.15) and entry["thresholds"] is None
  def loss(t):
    return sklearn.metrics.log_loss(y, scipy.special.softmax(np.log(p.astype(float)) / t, axis=1))
  assert loss(entry["temperature"]) <= min(map(loss, np.geomspace(0.1, 10, 200))) + 1e-9


def test_figures_before_and_after_are_of_other_clips():
  entry = json.loads(json.dumps(calibration.fit("single", *overconfident())))
  y, p = overconfident(seed=1)
  before, after = metrics.figures("single", y, p, classes="abc"), figures(y, p, entry)
  assert after["ece"] < 0.5 * before["ece"] and after["loss"] < before["loss"]
  assert after["accuracy"] == before["accuracy"]  # no order changes


def test_zero_probabilities_stay_finite():
  p = np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]], np.float32)
  entry = calibration.fit("ordinal", [0, 1, 1], p)
  out = calibration.apply(p, entry)
  assert np.isfinite(out).all() and out.sum(1) == pytest.approx(1) and entry["temperature"] > 1
  many = calibration.fit("multi", [[0, 1], [1, 1]], [[0.0, 1.0], [0.0, 1.0]])
  assert np.isfinite(calibration.apply([[0.0, 1.0]], many)).all()


def test_validation_without_a_mistake_leaves_the_probabilities_as_they_are():
  entry = calibration.fit("single", [0, 1, 1], [[.7, .3], [.4, .6], [.2, .8]])
  assert entry["temperature"] == 1.0


SCORES = np.array([.1, .2, .3, .4, .5, .6, .7, .8])
POSITIVE = np.array([0, 0, 1, 0, 0, 1, 1, 1], bool)


def test_youden_by_hand():
  """From 0.6 on: 3 of 4 found, no false one. Halfway between 0.5 and 0.6."""
  assert calibration.threshold(POSITIVE, SCORES, "youden", 0.9) == pytest.approx(0.55)


def test_fixed_sensitivity_by_hand():
  assert calibration.threshold(POSITIVE, SCORES, "sensitivity", 0.9) == pytest.approx(0.25)  # all four
  assert calibration.threshold(POSITIVE, SCORES, "sensitivity", 0.5) == pytest.approx(0.65)  # two are enough
  assert calibration.threshold(~POSITIVE, SCORES, "sensitivity", 0.9) == pytest.approx(0.1)  # nothing lies below
  assert calibration.threshold(POSITIVE | True, SCORES, "youden", 0.9) == 0.5


def test_a_threshold_holds_after_the_temperature():
  rng = np.random.default_rng(0)
  y = (rng.random(200) < 0.2).astype(int)
  score = scipy.special.expit(3 * (rng.normal(size=200) + 1.2 * y - 2))
  p = np.stack([1 - score, score], 1)
  entry = calibration.fit("single", y, p, rule="sensitivity", rate=0.9)
  after = figures(y, p, entry)
  best = metrics.figures("single", y, p, classes="ab")["specificity@0.9"]
  assert after["recall/b"] >= 0.9 and after["specificity/b"] == pytest.approx(best)
  assert isinstance(calibration.thresholds(entry), float)


def test_many_labels_have_a_threshold_each_and_missing_ones_do_not_count():
  y = np.array([[0, 1], [0, -1], [1, -1], [1, 1], [-1, -1]])
  p = np.array([[.1, .9], [.2, .1], [.3, .1], [.4, .6], [.9, .9]])
  entry = calibration.fit("multi", y, p)
  after = figures(y, p, entry)
  assert entry["clips"] == 4 and after["f1/a"] == 1 and entry["thresholds"][1] == 0.5
  t = entry["temperature"]
  assert calibration.apply(p, entry) == pytest.approx(scipy.special.expit(scipy.special.logit(p) / t))


def test_a_regression_passes_through():
  entry = calibration.fit("regression", [1.0, np.nan], [2.0, 3.0])
  assert calibration.apply([2.0], entry).tolist() == [2.0] and entry["clips"] == 1
  assert calibration.thresholds(entry) is None


def test_what_cannot_be_calibrated_is_refused():
  with pytest.raises(ConfigError, match="did you mean 'youden'"):
    calibration.fit("single", [0, 1], np.eye(2), rule="yuden")
  with pytest.raises(DataError, match="no labelled validation clip"):
    calibration.fit("single", [-1], [[.5, .5]])
