"""Features once: equal to training on the clips themselves, kept on disk, computed again only where they must be."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import tiny
from tests.tiny_net import TinyNet
from vft import features, forward, optim, sharding, train, trees
from vft.data import manifest as manifests
from vft.data import pipeline
from vft.errors import ConfigError

MODEL = TinyNet()


def make(csv, folder, **updates):
  config = tiny.make_config(csv, folder, **{"model": {"num_classes": 0}, **updates})
  variables = jax.jit(MODEL.init)(jax.random.key(0), jnp.zeros((1, 8, 56, 56, 3)))
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
  run = partial(forward.logits, MODEL, pixels=forward.make_pixels(config, MODEL), train=True)
  step = train.make_train_step(run, tx, frozenset(k for k, g in labels.items() if g == "head"))
  state, losses = train.make_state(params, stats, tx, mesh), []
  for _ in range(steps):
    state, sums, _, fine = step(state, sharding.put_batch(next(batches), mesh))
    assert fine
    losses.append(float(sums.compute()["loss"]))
  return losses, np.asarray(state.params["head/label/kernel"])


@pytest.mark.parametrize("updates", [{}, {"augment": {"enabled": True, "copies": 2}}], ids=["plain", "augmented"])
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
