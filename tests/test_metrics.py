"""Sums on the device, and final figures against hand counts and scikit-learn."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from vft import metrics
from vft.errors import DataError, RunError

CLASSES = ("a", "b", "c")
LABELS = np.array([0, 0, 1, 1, 2, 2])
# Guesses 0 1 1 1 2 0: right are rows 0, 2, 3, 4.
PROBS = np.array([[.8, .1, .1], [.3, .6, .1], [.2, .7, .1], [.1, .5, .4], [.1, .3, .6], [.5, .1, .4]])


def batch(mask):
  logits = jnp.array([[2., 0.], [0., 2.], [2., 0.], [0., 2.]])
  return jnp.array([1., 2., 3., jnp.nan]), logits, jnp.array([0, 0, 1, 1]), jnp.array(mask)


def test_rows_outside_the_mask_do_not_count_even_if_nan():
  figures = metrics.step(*batch([True, True, True, False])).compute()
  assert float(figures["loss"]) == 2.0 and float(figures["accuracy"]) == pytest.approx(1 / 3)


def test_clips_without_a_label_count_in_no_accuracy():
  losses, logits, labels, mask = batch([True, True, True, False])
  figures = metrics.step(losses, logits, labels.at[1].set(-1), mask).compute()
  assert float(figures["accuracy"]) == 0.5 and float(figures["loss"]) == 2.0


def test_merging_uneven_batches_weighs_clips_and_not_batches():
  many, one = metrics.step(*batch([True, True, False, False])), metrics.step(*batch([False, False, True, False]))
  figures = many.merge(one).compute()
  assert float(figures["loss"]) == 2.0  # and not (1.5 + 3) / 2
  assert set(figures) == {"loss", "accuracy"}


def test_sums_can_be_carried_through_jit_and_scan():
  args = jax.tree.map(lambda x: jnp.stack([x, x]), batch([True, True, True, False]))

  @jax.jit
  def run(args):
    return jax.lax.scan(lambda s, x: (s.merge(metrics.step(*x)), None), metrics.StepMetrics.empty(), args)[0]
  assert float(run(args).compute()["loss"]) == 2.0 and int(run(args).loss.count) == 6


def test_figures_of_a_hand_counted_case():
  got = metrics.classification(LABELS, PROBS, classes=CLASSES, topk=2)
  assert got["accuracy"] == pytest.approx(4 / 6)
  assert got["balanced_accuracy"] == pytest.approx((1 / 2 + 1 + 1 / 2) / 3)
  assert (got["recall/a"], got["recall/b"], got["recall/c"]) == (0.5, 1.0, 0.5)
  assert (got["precision/a"], got["precision/c"]) == (0.5, 1.0) and got["precision/b"] == pytest.approx(2 / 3)
  assert got["macro_f1"] == pytest.approx((0.5 + 0.8 + 2 / 3) / 3)
  assert got["top2_accuracy"] == 1.0
  assert got["auroc"] == pytest.approx((7 / 8 + 7 / 8 + 7.5 / 8) / 3)  # pairs ranked rightly; one tie in class c
  assert got["loss"] == pytest.approx(-np.log([.8, .3, .7, .5, .6, .4]).mean())


def test_figures_equal_scikit_learn():
  rng = np.random.default_rng(0)
  y, p = rng.integers(4, size=50), rng.dirichlet(np.ones(4), 50).round(1)
  p /= p.sum(1, keepdims=True)
  got = metrics.classification(y, p, classes="wxyz", topk=2)
  guess = p.argmax(1)
  assert got["balanced_accuracy"] == pytest.approx(sklearn.metrics.balanced_accuracy_score(y, guess), abs=1e-12)
  assert got["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(y, guess, average="macro"), abs=1e-12)
  assert got["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(y, p, multi_class="ovr"), abs=1e-12)
  assert got["top2_accuracy"] == sklearn.metrics.top_k_accuracy_score(y, p, k=2)  # with ties
  kept = np.maximum(p, np.finfo(float).eps)
  assert got["loss"] == pytest.approx(-np.log(kept[range(50), y]).mean())


def test_two_classes_score_the_second_and_have_no_top5():
  y, p = np.array([0, 1, 1, 1]), np.array([[.6, .4], [.7, .3], [.1, .9], [.2, .8]])
  got = metrics.classification(y, p, classes=("benign", "malignant"), topk=5)
  assert got["auroc"] == pytest.approx(2 / 3) and not [k for k in got if k.startswith("top")]


def test_absent_classes_are_left_out_of_auroc_and_balanced_accuracy_and_have_no_figures():
  got = metrics.classification(LABELS[:4], PROBS[:4], classes=CLASSES, topk=5)
  assert got["balanced_accuracy"] == 0.75
  assert got["auroc"] == (4 / 4 + 3 / 4) / 2  # pairs ranked rightly for classes a and b
  assert [got[f"{k}/c"] for k in ("precision", "recall", "f1")] == [None] * 3 and got["specificity/c"] == 1
  assert metrics.classification(LABELS[:2], PROBS[:2], classes=CLASSES, topk=5)["auroc"] is None


def test_confusion_has_true_classes_in_rows():
  assert metrics.confusion(LABELS, PROBS).tolist() == [[1, 1, 0], [0, 2, 0], [1, 0, 1]]


def test_pooling_is_the_mean_by_group_in_sorted_order():
  values = np.array([[1., 0.], [0., 1.], [.5, .5], [0., 1.]])
  pooled = metrics.pool(values, [1, 0, 1, 0], ["p2", "p1", "p2", "p1"])
  assert pooled is not None
  assert pooled[0].tolist() == [[0., 1.], [.75, .25]]
  assert pooled[1].tolist() == [0, 1] and pooled[2].tolist() == ["p1", "p2"]


def test_a_patient_with_two_labels_has_no_patient_level():
  assert metrics.pool(np.ones((3, 2)), [0, 1, 1], ["p1", "p1", "p2"]) is None


@pytest.mark.parametrize("labels, probs, error", [
    ([], np.ones((0, 3)), DataError), ([3], np.ones((1, 3)), DataError), ([-1], np.ones((1, 3)), DataError),
    ([0], np.ones((1, 2)), DataError), ([0], np.full((1, 3), np.nan), RunError)])
def test_what_cannot_be_measured_is_refused(labels, probs, error):
  with pytest.raises(error):
    metrics.classification(np.array(labels, int), probs, classes=CLASSES, topk=5)
