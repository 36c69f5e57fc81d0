"""Losses against scikit-learn, scipy, optax or the paper's formula; missing labels neither cost nor teach."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
from sklearn.utils.class_weight import compute_class_weight

from vft import losses
from vft.errors import ConfigError, DataError

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(4, 3)), jnp.float32)
LABELS = jnp.array([0, 2, 1, 2])
WEIGHTS = jnp.array([0.5, 1.0, 3.0])
LOG_P = scipy.special.log_softmax(np.asarray(LOGITS, np.float64), axis=1)
OF_LABEL = LOG_P[np.arange(4), np.asarray(LABELS)]


def close(got, want):
  np.testing.assert_allclose(got, want, rtol=2e-6)


def test_cross_entropy_with_class_weights_is_scikit_learns_log_loss():
  weight = np.asarray(WEIGHTS)[np.asarray(LABELS)]
  want = sklearn.metrics.log_loss(LABELS, np.exp(LOG_P), sample_weight=weight, normalize=True) * weight.sum()
  close(losses.cross_entropy(LOGITS, LABELS, weights=WEIGHTS).sum(), want)


def test_smoothing_spreads_over_all_classes_with_their_weights():
  close(losses.cross_entropy(LOGITS, LABELS, 0.1), -(0.9 * OF_LABEL + 0.1 / 3 * LOG_P.sum(1)))
  weight = np.asarray(WEIGHTS)
  want = -(0.9 * weight[np.asarray(LABELS)] * OF_LABEL + 0.1 / 3 * (weight * LOG_P).sum(1))
  close(losses.cross_entropy(LOGITS, LABELS, 0.1, WEIGHTS), want)


def test_focal_is_the_papers_formula_and_cross_entropy_at_gamma_0():
  close(losses.focal(LOGITS, LABELS), -(1 - np.exp(OF_LABEL)) ** 2 * OF_LABEL)
  close(losses.focal(LOGITS, LABELS, 0.5, WEIGHTS), -np.array([.5, 3, 1, 3]) * (1 - np.exp(OF_LABEL)) ** .5 * OF_LABEL)
  close(losses.focal(LOGITS, LABELS, 0.0), losses.cross_entropy(LOGITS, LABELS))
  two = jnp.array([[0.0, 1.5], [0.0, -0.3]])
  want = optax.sigmoid_focal_loss(two[:, 1], jnp.array([1.0, 0.0]), gamma=2.0)
  close(losses.focal(two, jnp.array([1, 0])), want)


def test_focal_has_a_finite_gradient_at_certainty():
  slope = jax.grad(lambda x: losses.focal(x, jnp.array([0]), 0.5).sum())(jnp.array([[200.0, 0.0]]))
  assert np.isfinite(slope).all()


def test_logit_adjusted_adds_the_log_prior():
  prior = jnp.array([0.7, 0.2, 0.1])
  joint = np.asarray(prior) ** 1.5 * np.exp(np.asarray(LOGITS, np.float64))  # eq. 10: pi^tau exp(f)
  want = -np.log(joint[np.arange(4), np.asarray(LABELS)] / joint.sum(1))
  close(losses.logit_adjusted(LOGITS, LABELS, prior, tau=1.5), want)
  close(losses.logit_adjusted(LOGITS, LABELS, jnp.full(3, 1 / 3)), losses.cross_entropy(LOGITS, LABELS))
  absent = losses.logit_adjusted(LOGITS[:1], LABELS[:1], jnp.array([0.5, 0.5, 0.0]))
  assert np.isfinite(absent).all()


def test_binary_cross_entropy_is_the_mean_over_known_labels():
  labels = jnp.array([[1, 0, -1], [1, 1, 0], [-1, -1, -1], [0, -1, -1]])
  p = scipy.special.expit(np.asarray(LOGITS, np.float64))
  want = [np.mean([-np.log(q if y else 1 - q) for q, y in zip(p[i], labels[i], strict=True) if y >= 0])
          for i in (0, 1, 3)]
  got = losses.binary_cross_entropy(LOGITS, labels)
  close(got[jnp.array([0, 1, 3])], want)
  assert got[2] == 0
  close(got[1], optax.sigmoid_binary_cross_entropy(LOGITS[1], labels[1]).mean())
  close(losses.binary_cross_entropy(LOGITS[1:2], labels[1:2], WEIGHTS)[0],
        -(0.5 * np.log(p[1, 0]) + np.log(p[1, 1]) + np.log(1 - p[1, 2])) / 3)


def test_ordinal_is_a_sum_of_binary_tasks():
  logits = LOGITS[:, :2]
  above = np.array([[0, 0], [1, 1], [1, 0], [1, 1]])
  p = scipy.special.expit(np.asarray(logits, np.float64))
  bce = -np.where(above, np.log(p), np.log(1 - p))
  close(losses.ordinal(logits, LABELS), bce.sum(1))
  close(losses.ordinal(logits, LABELS, jnp.array([1.0, 3.0])), bce @ [1, 3])


def test_ordinal_probabilities_are_those_of_the_cumulative_logistic_model():
  score, cuts = 0.4, np.array([-1.0, 0.3, 2.0])
  got = losses.ordinal_probs(jnp.asarray(score - cuts)[None, None])  # (1, 1, 3)
  close(got[0, 0], np.diff(scipy.stats.logistic.cdf(np.r_[-np.inf, cuts, np.inf], loc=score)))
  crossed = losses.ordinal_probs(jnp.array([[-1.0, 1.0]]))  # P(y > 1) above P(y > 0)
  assert (crossed >= 0).all() and float(crossed.sum()) == pytest.approx(1)


def test_regression_is_in_standard_deviations_of_the_targets():
  outputs, targets = jnp.array([[0.0], [1.0], [-3.0]]), jnp.array([50.0, 70.0, 50.0])
  error = np.array([0.0, -1.0, -3.0])  # standardised by mean 50, std 10: 0, 2, 0
  options = dict(mean=50.0, std=10.0)
  close(losses.regression(outputs, targets, "l1", **options), np.abs(error))
  close(losses.regression(outputs, targets, "l2", **options), error**2)
  close(losses.regression(outputs, targets, "huber", 2.0, **options), scipy.special.huber(2.0, error))
  with pytest.raises(ConfigError, match="did you mean 'huber'"):
    losses.regression(outputs, targets, "hubber")


@pytest.mark.parametrize("loss, missing, there", [
    (losses.cross_entropy, -1, 1), (losses.focal, -1, 1), (losses.ordinal, -1, 1), (losses.cross_entropy, np.nan, 1),
    (losses.binary_cross_entropy, np.array([-1, -1, -1]), np.array([0, 1, -1])),
    (losses.binary_cross_entropy, np.array([np.nan] * 3), np.array([0, 1, np.nan])),
    (lambda x, y: losses.logit_adjusted(x, y, jnp.full(3, 1 / 3)), -1, 1),
    (lambda x, y: losses.regression(x[:, 0], y), np.nan, -1.0)])
def test_a_missing_label_costs_nothing_and_has_no_gradient(loss, missing, there):
  labels = jnp.stack([jnp.asarray(missing, jnp.float32), jnp.asarray(there, jnp.float32)])
  values, slope = loss(LOGITS[:2], labels), jax.grad(lambda x: loss(x, labels).sum())(LOGITS[:2])
  assert values.shape == (2,) and values[0] == 0 and values[1] > 0
  assert (slope[0] == 0).all() and (slope[1] != 0).any() and np.isfinite(slope).all()


def test_known_says_which_clips_count():
  assert losses.known(jnp.array([0, -1])).tolist() == [True, False]
  assert losses.known(jnp.array([[0, -1], [-1, -1]]), "multi").tolist() == [True, False]
  assert losses.known(jnp.array([-5.0, jnp.nan]), "regression").tolist() == [True, False]


def test_class_weights():
  counts, labels = [6, 3, 1], np.repeat([0, 1, 2], [6, 3, 1])
  inverse = losses.class_weights(counts, "inverse")
  close(inverse, compute_class_weight("balanced", classes=np.arange(3), y=labels))
  effective = losses.class_weights(counts, "effective", beta=0.9)
  want = np.array([(1 - 0.9) / (1 - 0.9**n) for n in counts])
  close(effective / effective[0], want / want[0])
  assert np.mean(effective[labels]) == pytest.approx(1) and losses.class_weights(counts, "none").tolist() == [1, 1, 1]
  close(losses.class_weights(counts, "effective", beta=1 - 1e-12), inverse)  # the limit of beta -> 1
  with pytest.raises(DataError, match="every class"):
    losses.class_weights([3, 0], "inverse")
  with pytest.raises(ConfigError, match="did you mean 'inverse'"):
    losses.class_weights([3, 1], "invers")
