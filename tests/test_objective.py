"""The loss of several tasks, and what their outputs mean."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default
from vft import losses, objective
from vft.errors import ConfigError
from vft.tasks import Task

TASKS = (Task("label", classes=("a", "b", "c")), Task("tags", "multi", ("x", "y"), weight=0.5),
         Task("grade", "ordinal", ("0", "1", "2")), Task("ef", "regression", mean=50.0, std=10.0, weight=2.0))
LABELS = {"label": np.array([0, 2, -1, 1], np.int32), "tags": np.array([[1, 0], [-1, -1], [0, 1], [1, 1]], np.int8),
          "grade": np.array([2, 0, 1, -1], np.int32), "ef": np.array([60, np.nan, 45, 30], np.float32)}
LOGITS = {t.name: np.random.default_rng(i).normal(size=(4, t.outputs)).astype(np.float32) for i, t in enumerate(TASKS)}


def config(**updates):
  c = default.get_config()
  c.update(updates)
  return c


def test_the_loss_is_the_weighted_sum_and_missing_labels_add_nothing():
  total = objective.make_loss(config(), TASKS, LABELS)(LOGITS, LABELS)
  parts = (losses.cross_entropy(LOGITS["label"], LABELS["label"])
           + 0.5 * losses.binary_cross_entropy(LOGITS["tags"], LABELS["tags"])
           + losses.ordinal(LOGITS["grade"], LABELS["grade"])
           + 2.0 * losses.regression(LOGITS["ef"], LABELS["ef"], mean=50.0, std=10.0))
  np.testing.assert_allclose(total, parts, rtol=1e-6)
  gradient = jax.grad(lambda logits: objective.make_loss(config(), TASKS, LABELS)(logits, LABELS).sum())(LOGITS)
  assert all(np.isfinite(g).all() for g in gradient.values())
  assert not gradient["ef"][1].any() and not gradient["label"][2].any() and not gradient["tags"][1].any()


@pytest.mark.parametrize("loss", [dict(class_weights="inverse"), dict(name="focal"), dict(name="logit_adjusted")])
def test_imbalance_changes_the_loss_of_one_label(loss):
  labels = {"label": np.array([0, 0, 0, 1, 2], np.int32)}
  logits = {"label": np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)}
  plain, other = (objective.make_loss(config(loss=fields), TASKS[:1], labels)(logits, labels) for fields in ({}, loss))
  assert np.abs(plain - other).max() > 1e-3 and np.isfinite(other).all()


def test_values_are_probabilities_and_numbers_in_their_own_unit():
  got = {t.name: objective.values(t, jnp.asarray(LOGITS[t.name])) for t in TASKS}
  for name in ("label", "grade"):
    np.testing.assert_allclose(got[name].sum(axis=-1), 1.0, rtol=1e-6)
  assert got["grade"].shape == (4, 3) and (got["tags"] > 0).all()
  np.testing.assert_allclose(got["ef"], 50 + 10 * LOGITS["ef"], rtol=1e-6)


def test_a_mirrored_clip_has_the_label_of_the_other_side():
  task = Task(classes=("left", "none", "right"))
  c = config(augment=dict(enabled=True, flip=1.0, flip_pairs=(("left", "right"),)))
  batch = {"label": {"label": jnp.array([0, 1, 2, -1])}, "row": jnp.arange(4), "copy": jnp.zeros(4, int)}
  assert objective.make_mirror(c, (task,))(batch)["label"].tolist() == [2, 1, 0, -1]
  c.augment.enabled = False
  assert objective.make_mirror(c, (task,))(batch)["label"].tolist() == [0, 1, 2, -1]
  c.augment.update(enabled=True, flip_pairs=(("left", "rihgt"),))
  with pytest.raises(ConfigError, match="did you mean 'right'"):
    objective.make_mirror(c, (task,))
