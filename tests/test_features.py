"""Features once: equal to training on the clips themselves, kept on disk, computed again only where they must be."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import drawn, tiny
from tests.tiny_net import TinyNet
from vft import features, forward, objective, optim, sharding, train, trees
from vft.data import manifest as manifests
from vft.data import pipeline
from vft.errors import ConfigError
from vft.tasks import Task

MODEL = TinyNet()


def make(csv, folder, **updates):
  config = tiny.make_config(csv, folder, **{"model": {"num_classes": 0}, **updates})
  variables = drawn.variables(MODEL, jnp.zeros((1, 8, 56, 56, 3)))
  params, stats = (trees.flatten(jax.tree.map(np.asarray, variables[k])) for k in ("params", "batch_stats"))
  return config, manifests.make_manifest(config), params, stats, sharding.make_mesh()


def compute(made, split="train", views=1, train=True):
  config, manifest, params, stats, mesh = made
  return features.compute(MODEL, params, stats, manifest, config, manifest.rows(split), views=views, train=train,
                          mesh=mesh, tick=lambda done, todo: None)


def fit(made, batches, steps=4):
  config, _, params, stats, mesh = made
  labels = trees.assign(params, config.rules)
  tx = optim.make_optimizer(config, labels, steps)
  loss = objective.make_loss(config, (Task(classes=("a", "b", "c")),), {"label": np.arange(3)})
  run = partial(forward.logits, MODEL, pixels=forward.make_pixels(config, MODEL), train=True)
  step = train.make_train_step(run, loss, tx, frozenset(k for k, g in labels.items() if g == "head"))
  state, losses = train.make_state(params, stats, tx, mesh), []
  for _ in range(steps):
    state, sums, _, fine = step(state, sharding.put_batch(next(batches), mesh))
    assert fine
    losses.append(float(sums.compute()["loss"]))
  return losses, np.asarray(state.params["head/label/kernel"])


AUGMENTED = {"augment": {"enabled": True, "copies": 2}}


@pytest.mark.parametrize("updates", [{}, AUGMENTED, {**AUGMENTED, "data": {"sampler": "balanced"}}],
                         ids=["plain", "augmented", "balanced"])
def test_head_trained_on_features_equals_head_trained_on_clips(tiny_csv, tmp_path, updates):
  made = make(tiny_csv, tmp_path, **updates)
  config, manifest, *_ = made
  found = compute(made)
  copies = 2 if updates else 1
  assert len(found.tokens) == found.new == copies * len(manifest.rows("train"))
  losses, kernel = fit(made, features.train_batches(found, manifest, config, start_step=0))
  losses_clips, kernel_clips = fit(made, pipeline.train_batches(manifest, config, batch=8, start_step=0))
  np.testing.assert_allclose(losses, losses_clips, rtol=1e-5)
  np.testing.assert_allclose(kernel, kernel_clips, rtol=1e-5, atol=1e-5)


def test_copies_of_an_augmented_clip_differ(tiny_csv, tmp_path):
  found = compute(make(tiny_csv, tmp_path, augment={"enabled": True, "copies": 2}))
  row = next(iter(found.tokens))[0]
  assert np.abs(found.tokens[row, 0] - found.tokens[row, 1]).max() > 1e-3


def test_second_pass_comes_from_the_disk_and_other_settings_do_not(tiny_csv, tmp_path):
  made = make(tiny_csv, tmp_path)
  first, again = compute(made), compute(made)
  assert first.new and not again.new
  assert all(np.array_equal(first.tokens[k], again.tokens[k]) for k in first.tokens)
  config, manifest, params, stats, mesh = made
  assert compute((config, manifest, {**params, "stem/bias": params["stem/bias"] + 1}, stats, mesh)).new == first.new
  assert compute((config, manifest, {**params, "head/label/bias": np.ones(3, np.float32)}, stats, mesh)).new == 0
  config = config.copy_and_resolve_references()
  config.data.fps = 4.0
  assert compute((config, manifest, params, stats, mesh)).new == first.new


def test_damaged_file_is_computed_again(tiny_csv, tmp_path, caplog):
  made = make(tiny_csv, tmp_path)
  compute(made)
  for path in (tmp_path / "features").rglob("*.npz"):
    path.write_bytes(path.read_bytes()[:100])
  assert compute(made).new == len(made[1].rows("train"))
  assert "damaged feature file" in caplog.text


def test_views_of_a_video_are_kept_apart(tiny_csv, tmp_path):
  found = compute(make(tiny_csv, tmp_path), split="test", views=3, train=False)
  tokens = next(iter(found.tokens.values()))
  assert tokens.shape == (3, 1, 16) and np.abs(tokens[0] - tokens[2]).max() > 1e-4


def test_forecast_over_the_limit_stops_before_the_first_clip(tiny_csv, tmp_path):
  with pytest.raises(ConfigError, match=r"cache_max_gb"):
    compute(make(tiny_csv, tmp_path, features={"cache_max_gb": 1e-9}))
  assert not list((tmp_path / "features").rglob("*.npz"))


def test_crops_are_views_and_chunks_change_nothing(tiny_csv, tmp_path):
  config, *rest = make(tiny_csv, tmp_path, eval={"crops": 3})
  whole = compute((config, *rest), split="test", views=2, train=False)
  config = config.copy_and_resolve_references()
  config.update(eval=dict(chunk=4), features=dict(dir=str(tmp_path / "other")))
  parts = compute((config, *rest), split="test", views=2, train=False)
  assert parts.new == whole.new > 0 and next(iter(whole.tokens.values())).shape == (6, 1, 16)
  for key in whole.tokens:
    np.testing.assert_allclose(parts.tokens[key], whole.tokens[key], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("train, change", [
    (False, dict(data=dict(mask=((0.0, 0.0, 1.0, 0.1),)))), (False, dict(data=dict(crop="sector"))),
    (False, dict(data=dict(window=(1.0, 2.0)))), (False, dict(eval=dict(crops=3))),
    (False, dict(data=dict(sampling="uniform"))),
    (False, dict(data=dict(sampling="duration", duration_s=0.5))), (True, dict(augment=dict(rotate=5.0))),
    (True, dict(augment=dict(scale=(0.5, 1.0)))), (True, dict(augment=dict(time_jitter=False)))], ids=str)
def test_the_key_of_a_clip_follows_all_that_changes_its_pixels(tiny_csv, tmp_path, train, change):
  config, manifest, *_ = make(tiny_csv, tmp_path, augment={"enabled": True, "copies": 2})
  other = config.copy_and_resolve_references()
  other.update(change)
  first, again, moved = (features.clip_key(manifest, c, forward.make_pixels(c, MODEL), 0, 0, 1, train)
                         for c in (config, config, other))
  assert first == again != moved


def test_features_refuse_to_be_mixed(tiny_csv, tmp_path):
  with pytest.raises(ConfigError, match=r"features\.cache=False"):
    compute(make(tiny_csv, tmp_path, augment={"enabled": True, "copies": 2, "mixup": 0.8}))


def test_repeats_on_features_come_in_the_order_of_the_clips(tiny_csv, tmp_path):
  config, manifest, *_ = made = make(tiny_csv, tmp_path, augment={"enabled": True, "copies": 2, "repeats": 2})
  tokens = next(features.train_batches(compute(made), manifest, config, start_step=1))
  batches = pipeline.train_batches(manifest, config, batch=8, start_step=1)
  clips = next(batches)
  batches.close()
  assert (tokens["row"] == clips["row"]).all() and (tokens["copy"] == clips["copy"]).all()
