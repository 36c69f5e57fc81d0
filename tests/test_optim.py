"""Groups -> optax.multi_transform."""
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import default
from vft import models, optim, trees
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


@pytest.mark.parametrize(("name", "free"), [
    ("late/kernel", False), ("lora/late/kernel/a", False), ("lora/late/kernel/b", False), ("late/bias", True),
    ("late/pos_space", True), ("late/windows/distances", True), ("late/cls_token", True), ("late/query", True)])
def test_decay_shrinks_kernels_and_nothing_else(name, free):
  c, _, _ = make()
  c.groups = dict(late=dict(train=True, lr=1.0, wd=0.5, schedule="constant"))
  params = {name: jnp.ones(2 if name.endswith("bias") else (2, 2))}
  tx = optim.make_optimizer(c, {name: "late"}, steps=4)
  updates, _ = tx.update(jax.tree.map(jnp.zeros_like, params), tx.init(params), params)
  np.testing.assert_allclose(updates[name], 0.0 if free else -0.5)


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


@pytest.mark.parametrize("family", models.FAMILIES)
def test_layer_decay_falls_from_the_head_to_the_stem_in_every_family(family):
  c, model = default.get_config(), models.make(family, variant="tiny", num_classes=2)
  c.optim.layer_decay = 0.5
  params = trees.flatten(jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((1, 4, 64, 64, 3)))["params"])
  scales = optim.layer_scales(c, list(params), model.blocks)
  of_block = {b: {s for name, s in scales.items() if name.split("/")[0] == b} for b in (*model.blocks, "head")}
  assert all(len(found) == 1 for found in of_block.values())  # one factor for all of a block
  inner = [block for block in model.blocks if block not in ("norm", "pooler")]
  assert [of_block[b].pop() for b in inner] == [0.5 ** (len(inner) - i) for i in range(len(inner))]
  assert set.union(*of_block.values()) == {1.0}  # the head and what follows the last block


def test_layer_decay_scales_rate_and_weight_decay_of_a_leaf():
  c, labels, _ = make()
  scales = {name: 0.25 if name.startswith("head") else 1.0 for name in PARAMS}
  tx = optim.make_optimizer(c, labels, 4, scales=scales)
  updates, state = tx.update(jax.tree.map(jnp.ones_like, PARAMS), tx.init(PARAMS), PARAMS)
  np.testing.assert_allclose(updates["head/label/kernel"], -1.5 / 4)
  np.testing.assert_allclose(updates["late/kernel"], -0.1)
  rows = {row["group"]: row for row in optim.table(c, labels, PARAMS, state, {**scales, "head/label/bias": 1.0})}
  assert (rows["head"]["least_lr"], rows["head"]["lr"]) == (0.25, 1.0)
  assert optim.layer_scales(c, list(PARAMS), ("stem", "late")) == {}  # a decay of 1 is none
  c.optim.layer_decay = 0.5
  assert optim.layer_scales(c, ["lora/late/kernel/a", "free"], ("late",)) == {"lora/late/kernel/a": 0.5, "free": 1}


@pytest.mark.parametrize(("unit", "warmup", "steps"), [("share", 0.25, 10), ("steps", 6, 6), ("epochs", 1.5, 15)])
def test_warm_up_is_counted_in_its_unit_from_the_thaw_on(unit, warmup, steps):
  c, labels, _ = make()
  c.optim.update(warmup=warmup, warmup_unit=unit)
  c.train.update(epochs=5, stages=((1, ("head",)),))
  assert optim.warmup_steps(c, 1, 50) == (steps, 40)  # 10 steps an epoch
  tx = optim.make_optimizer(c, labels, 50, epoch=1)
  state, sizes = tx.init(PARAMS), []
  for _ in range(41):
    updates, state = tx.update(jax.tree.map(jnp.zeros_like, PARAMS), state, PARAMS)
    sizes.append(-float(updates["head/label/kernel"][0, 0]) / 0.5)  # the decay alone: rate x 0.5
  assert sizes[0] == 0 and np.argmax(sizes) == steps and sizes[steps] == pytest.approx(1.0)
  assert sizes[40] == pytest.approx(0.0)


def test_a_climb_longer_than_the_training_of_a_group_is_an_error():
  c, _, _ = make()
  c.optim.update(warmup=11, warmup_unit="steps")
  c.train.update(epochs=2, stages=((1, ("late",)),))
  with pytest.raises(ConfigError, match=r"config\.groups\.late would climb for 11 steps (.|\n)*trains for 10 steps"):
    optim.check_warmup(c, 20)
  c.optim.warmup = 10
  optim.check_warmup(c, 20)


def test_a_later_stage_takes_over_what_has_trained_and_starts_what_thaws():
  c, labels, sgd = make()
  jax.tree.map(np.testing.assert_array_equal, optim.first_state(sgd, PARAMS), sgd.init(PARAMS))
  c, labels, _ = make(clip_norm=1.0, name="adamw")
  c.train.update(epochs=4, stages=((2, ("late",)),))
  first, second = (optim.make_optimizer(c, labels, 4, epoch=epoch) for epoch in (0, 2))
  _, state = first.update(jax.tree.map(jnp.ones_like, PARAMS), first.init(PARAMS), PARAMS)
  assert optim.nbytes(state) == 2 * 9 * 4  # late has no slots yet
  fresh = optim.first_state(second, PARAMS)
  jax.tree.map(np.testing.assert_array_equal, fresh, second.init(PARAMS))
  new = optim.carry_over(state, fresh)
  assert optim.nbytes(new) == 2 * (9 + 4) * 4
  old_leaves, new_leaves = (jax.tree.leaves(s[-1].inner_states["head"]) for s in (state, new))
  jax.tree.map(np.testing.assert_array_equal, old_leaves, new_leaves)
  assert not any(np.any(x) for x in jax.tree.leaves(new[-1].inner_states["late"]))
  second.update(jax.tree.map(jnp.ones_like, PARAMS), new, PARAMS)
