"""Groups -> optax.multi_transform."""
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from vft import optim, trees
from vft.errors import ConfigError

PARAMS = {"head/label/kernel": jnp.ones((2, 3)), "head/label/bias": jnp.ones(3), "late/kernel": jnp.ones((2, 2)),
          "stem/kernel": jnp.ones((4, 2))}
RULES = (("head/.*", "head"), ("late/.*", "late"), (".*", "trunk"))


def make(clip_norm=0.0, name="sgd"):
  c = default.get_config()
  c.optim.update(name=name, warmup=0.0, clip_norm=clip_norm, momentum=0.0)
  c.groups = dict(trunk=dict(train=False), late=dict(train=True, lr=0.1, schedule="constant"),
                  head=dict(train=True, lr=1.0, wd=0.5, schedule="linear"))
  c.rules = RULES
  labels = trees.assign(PARAMS, c.rules)
  return c, labels, optim.make_optimizer(c, labels, steps=4)


def test_every_group_has_its_own_rate_and_frozen_ones_get_zero_updates():
  _, _, tx = make()
  grads = {k: jnp.full_like(v, 0.0 if k.startswith("stem") else 1.0) for k, v in PARAMS.items()}
  updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates["late/kernel"], -0.1)
  np.testing.assert_allclose(updates["head/label/kernel"], -1.5)  # gradient 1 and decay 0.5 x 1, at rate 1
  np.testing.assert_allclose(updates["head/label/bias"], -1.0)  # no decay on a bias
  assert not np.any(updates["stem/kernel"])


def test_clipping_norm_is_that_of_what_trains():
  _, _, tx = make(clip_norm=1.0)
  grads = {k: jnp.full_like(v, 0.0 if k.startswith("stem") else 2.0) for k, v in PARAMS.items()}
  updates, _ = tx.update(grads, tx.init(PARAMS), PARAMS)
  norm = 2 * np.sqrt(6 + 3 + 4)
  np.testing.assert_allclose(updates["late/kernel"], -0.1 * 2 / norm, rtol=1e-6)


def test_frozen_groups_take_no_optimizer_bytes():
  c, labels, tx = make(clip_norm=1.0, name="adamw")
  rows = {r["group"]: r for r in optim.table(c, labels, PARAMS, tx.init(PARAMS))}
  assert rows["trunk"]["optimizer_bytes"] == 0 and rows["trunk"]["bytes"] == 32
  assert rows["head"]["optimizer_bytes"] == 2 * 9 * 4
  assert rows["head"]["parameters"] == 9 and rows["head"]["lr"] == 1.0 and rows["late"]["wd"] == 0.0


@pytest.mark.parametrize("kind, end", [("constant", 2.0), ("linear", 0.0), ("cosine", 0.0)])
def test_schedules_climb_then_go_where_they_say(kind, end):
  schedule = optim.make_schedule(kind, 2.0, steps=20, warmup=5)
  assert float(schedule(0)) == 0.0
  np.testing.assert_allclose(schedule(5), 2.0, rtol=1e-6)
  np.testing.assert_allclose(schedule(20), end, atol=1e-6)


def test_idle_rules_and_parameters_without_a_rule_are_errors_that_name_both():
  with pytest.raises(ConfigError, match=r"(?s)without a rule: \['stem/kernel'\].*without a parameter: \['neck/\.\*'\]"):
    trees.assign(PARAMS, (("head/.*", "head"), ("late/.*", "late"), ("neck/.*", "late")))


def test_multi_transform_is_what_decides():
  _, _, tx = make()
  assert isinstance(tx.init(PARAMS), optax.transforms.PartitionState)
