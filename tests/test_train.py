"""The training step: what moves, what does not, and that devices, parts and padding change nothing."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
from jax.sharding import AxisType

from configs import default
from tests import drawn
from tests.tiny_net import TinyNet
from vft import evaluate, forward, objective, optim, sharding, train, trees
from vft.data.augment import mix
from vft.errors import RunError
from vft.models.heads import Spec
from vft.tasks import Task

T, R, S = 4, 40, 32
TASK = Task(classes=("a", "b", "c"))


def setup(rules=(("head/.*", "head"), (".*", "trunk")), *, dropout=0.0, **step_options):
  c = default.get_config()
  c.data.update(num_frames=T, resize=R, size=S)
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-2, schedule="constant"))
  c.rules = rules
  model = TinyNet(spec=Spec(dropout=dropout))
  variables = drawn.variables(model, jnp.zeros((1, T, S, S, 3)))
  params, stats = (trees.flatten(jax.tree.map(np.asarray, variables[k])) for k in ("params", "batch_stats"))
  labels = trees.assign(params, c.rules)
  trained = frozenset(k for k, g in labels.items() if g == "head")
  tx = optim.make_optimizer(c, labels, steps=10)
  loss = objective.make_loss(c, (TASK,), {"label": np.arange(3)})
  run = partial(forward.logits, model, pixels=forward.make_pixels(c, model), train=True,
                train_trunk=any(not k.startswith("head/") for k in trained))
  return params, stats, tx, train.make_train_step(run, loss, tx, trained, **step_options)


def batch(size=8, seed=0):
  rng = np.random.default_rng(seed)
  return {"video": rng.integers(0, 256, (size, 1, T, R, R, 3), np.uint8), "time_s": np.zeros((size, 1, T)),
          "label": {"label": rng.integers(0, 3, size).astype(np.int32)}, "row": np.arange(size, dtype=np.int32),
          "copy": np.zeros(size, np.int32), "mask": np.ones(size, bool)}


def mesh_of(devices):
  return jax.sharding.Mesh(np.array(jax.devices()[:devices]).reshape(devices, 1), ("data", "fsdp"),
                           axis_types=(AxisType.Auto, AxisType.Auto))


def run(setting, batches, devices=1):
  params, stats, tx, step = setting
  mesh = mesh_of(devices)
  state, losses = train.make_state(params, stats, tx, mesh), []
  for b in batches:
    state, sums, _, fine = step(state, sharding.put_batch(b, mesh))
    assert fine
    losses.append(float(sums.compute()["loss"]))
  return state, losses


def close(a, b, tolerance=1e-5):
  for name in a.params:
    np.testing.assert_allclose(a.params[name], b.params[name], rtol=tolerance, atol=tolerance)


def test_frozen_leaves_do_not_move_and_keep_no_optimizer_state():
  setting = setup()
  state, _ = run(setting, [batch(seed=i) for i in range(3)])
  frozen = [k for k in setting[0] if not k.startswith("head/")]
  assert all(np.array_equal(np.asarray(state.params[k]).view(np.int32), setting[0][k].view(np.int32)) for k in frozen)
  assert all(np.array_equal(state.batch_stats[k], setting[1][k]) for k in setting[1])
  moved = np.abs(np.asarray(state.params["head/label/kernel"]) - setting[0]["head/label/kernel"])
  assert moved.max() > 0
  head = sum(v.nbytes for k, v in setting[0].items() if k.startswith("head/"))
  assert optim.nbytes(state.opt_state) == 2 * head


def test_blocks_that_train_move_and_only_they():
  params, *_ = setting = setup((("head/.*|last/.*", "head"), (".*", "trunk")))
  state, _ = run(setting, [batch()])
  moved = {k.split("/")[0] for k in params if not np.array_equal(state.params[k], params[k])}
  assert moved == {"head", "last"}


def test_four_devices_equal_one():
  batches = [batch(seed=i) for i in range(2)]
  rules = (("head/.*|last/.*", "head"), (".*", "trunk"))
  one, losses = run(setup(rules), batches, devices=1)
  four, losses_four = run(setup(rules), batches, devices=4)
  np.testing.assert_allclose(losses, losses_four, rtol=1e-5)
  close(one, four)


def test_accumulated_parts_equal_the_whole_batch():
  whole, losses = run(setup(), [batch()])
  parts, losses_parts = run(setup(accum=2), [batch()], devices=4)
  np.testing.assert_allclose(losses, losses_parts, rtol=1e-5)
  close(whole, parts)


def test_mixing_blends_clips_and_labels_alike():
  same = batch()
  same["video"][:], same["label"]["label"][:] = same["video"][:1], 1
  (_, plain), (_, mixed) = (run(setup(mixing=how, size=S), [same]) for how in (None, mix.Mix(0.8, 1.0)))
  np.testing.assert_allclose(plain, mixed, rtol=1e-5)  # each clip with itself: nothing changes
  (a, plain), (b, mixed), (again, _) = (run(setup(mixing=how, size=S), [batch()]) for how in
                                        (None, mix.Mix(0.8, 1.0), mix.Mix(0.8, 1.0)))
  assert abs(plain[0] - mixed[0]) > 1e-4
  close(b, again)
  assert np.abs(np.asarray(a.params["head/label/kernel"]) - np.asarray(b.params["head/label/kernel"])).max() > 1e-4


def test_views_in_chunks_give_the_mean_of_all():
  params, stats, *_ = setup()
  model, mesh = TinyNet(), mesh_of(1)
  pixels = forward.make_pixels(default.get_config(), model)._replace(size=S)
  views = batch()
  views["video"] = np.random.default_rng(1).integers(0, 256, (8, 3, *views["video"].shape[2:]), np.uint8)
  whole, parts = (evaluate.predict(model, params, stats, pixels, (TASK,), [views], mesh, chunk).outputs["label"]
                  for chunk in (0, 2))
  assert whole.shape == (8, 3)
  np.testing.assert_allclose(whole, parts, rtol=1e-5)


def test_padded_clip_does_not_change_the_loss():
  small = batch(4)
  padded = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x)]), small)
  padded["row"][4:] = -1
  a, losses = run(setup(), [small])
  b, losses_padded = run(setup(), [padded])
  np.testing.assert_allclose(losses, losses_padded, rtol=1e-6)
  close(a, b)


@pytest.mark.fault("F29", "NaN in a loss", "exit 5 at the step, before the update; clips named")
def test_not_finite_loss_leaves_everything_as_it_was_and_names_the_clips():
  params, stats, tx, step = setup()
  broken = {**params, "head/label/bias": np.array([np.nan, 0, 0], np.float32)}
  mesh = mesh_of(1)
  state = train.make_state(broken, stats, tx, mesh)
  count = float(optim.nbytes(state.opt_state))
  state, _, losses, fine = step(state, sharding.put_batch(batch(), mesh))
  assert not fine and optim.nbytes(state.opt_state) == count
  np.testing.assert_array_equal(state.params["head/label/kernel"], params["head/label/kernel"])
  with pytest.raises(RunError, match=r"(?s)at step 7, which has changed nothing.*clip-0.*learning rate"):
    train.check_finite(fine, losses, 7, batch(), lambda rows: [f"clip-{r}" for r in rows])


def test_moments_that_are_not_finite_are_named_and_padding_is_not():
  moments = {"row": np.array([[0, 1, 2], [3, 4, -1]]), "mask": np.array([[True] * 3, [True, True, False]])}
  for losses, named in ((np.where(moments["row"] == 1, np.nan, 1.0), r"\['v@1'\]"),
                        (np.ones((2, 3)), r"\['v@0', 'v@1', 'v@2', 'v@3', 'v@4'\]")):  # the gradient alone is not
    with pytest.raises(RunError, match=named):
      train.check_finite(False, losses, 7, moments, lambda rows: pd.Series([f"v@{i}" for i in range(6)])[rows].tolist())


def test_losses_of_moments_come_in_the_order_of_the_batch_whatever_the_parts():
  params, x = {"head/kernel": np.eye(3, dtype=np.float32)}, np.random.default_rng(0).normal(size=(4, 1, 2, 3))
  moments = {"tokens": jnp.float32(x), "label": {"label": jnp.int32([[0, 1], [2, 0], [1, 1], [-1, 2]])},
             "mask": jnp.array([[True, True], [True, False], [True, True], [True, True]])}

  def losses(accum):
    tx = optax.sgd(0.1)
    step = train.make_train_step(lambda p, stats, b, rng: ({"label": b["tokens"] @ p["head/kernel"]}, stats),
                                 objective.make_loss(default.get_config(), (TASK,), {"label": np.arange(3)}), tx,
                                 frozenset(params), accum=accum)
    return step(train.TrainState(jnp.int32(0), params, {}, tx.init(params)), moments)[2]
  np.testing.assert_allclose(losses(2), losses(1), rtol=1e-6)


def test_dropout_depends_on_seed_and_step_alone():
  a, _ = run(setup(dropout=0.5, seed=1), [batch()])
  b, _ = run(setup(dropout=0.5, seed=1), [batch()], devices=4)
  c, _ = run(setup(dropout=0.5, seed=2), [batch()])
  close(a, b)
  assert np.abs(np.asarray(a.params["head/label/kernel"]) - np.asarray(c.params["head/label/kernel"])).max() > 1e-4


def test_head_only_step_costs_no_backward_pass_of_the_trunk():
  params, stats, tx, step = setup()
  model = TinyNet()
  pixels = forward.make_pixels(default.get_config(), model)._replace(size=S)
  b = {k: v for k, v in batch().items() if k != "time_s"}

  def flops(function, *args):
    return jax.jit(function).trace(*args).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
  ahead = flops(lambda p, s, b: forward.logits(model, p, s, b, pixels)[0], params, stats, b)
  state = train.TrainState(jnp.zeros((), jnp.int32), params, stats, tx.init(params))
  assert flops(lambda s, b: step(s, b)[0].params, state, b) <= 1.05 * ahead
