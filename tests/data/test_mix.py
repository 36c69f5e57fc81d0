"""Mixing a batch, and the labels of mirrored clips."""
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.test_augment import OFF
from vft import forward
from vft.data.augment import augment, mix, sides
from vft.errors import ConfigError

B, T, S, K = 8, 2, 8, 3
VIDEO = np.broadcast_to(np.arange(1, B + 1, dtype=np.float32)[:, None, None, None, None, None],
                        (B, 1, T, S, S, 3))  # clip i has the value i + 1
SOFT = np.eye(B, dtype=np.float32)  # and the label i: both tell who is in it


@partial(jax.jit, static_argnames="how")
def mixed(key, video, soft, mask, how):
  drawn = mix.draw(key, mask, S, how)
  own = drawn.share[:, None]
  return mix.mix_video(drawn, video), soft * own + mix.partner(soft) * (1 - own)


def run(how, step=0, mask=None, seed=0):
  key = jax.random.fold_in(jax.random.key(seed), step)
  video, soft = mixed(key, VIDEO, SOFT, np.ones(B, bool) if mask is None else mask, how)
  return np.asarray(video), np.asarray(soft)


def test_mixup_blends_pixels_and_labels_by_the_same_share():
  video, soft = run(mix.Mix(0.8, 0.0))
  assert (video == video[..., :1, :1, :1, :1]).all()
  np.testing.assert_allclose(video[:, 0, 0, 0, 0, 0], soft @ np.arange(1, B + 1), rtol=1e-5)
  np.testing.assert_allclose(soft.sum(1), 1.0, atol=1e-6)
  own = np.diag(soft)
  assert len(set(own.round(4))) == B and (soft[np.arange(B), (np.arange(B) + B // 2) % B] > 0).all()


def test_cutmix_puts_one_box_of_the_other_clip_into_all_frames_and_its_area_into_the_label():
  shares = []
  for step in range(8):
    video, soft = run(mix.Mix(0.0, 1.0), step)
    other = video != VIDEO
    assert (other == other[:, :, :1, :, :, :1]).all()
    inside = other[:, 0, 0, :, :, 0]
    assert all(i.sum() == i.any(0).sum() * i.any(1).sum() for i in inside)
    np.testing.assert_allclose(1 - inside.mean((1, 2)), np.diag(soft), atol=1e-6)
    partner = np.roll(VIDEO, B // 2, axis=0)
    np.testing.assert_array_equal(video[other], np.broadcast_to(partner, VIDEO.shape)[other])
    shares += list(np.diag(soft))
  assert min(shares) < 0.4 and max(shares) > 0.9


def test_with_both_each_clip_gets_either():
  kinds = np.concatenate([np.ptp(run(mix.Mix(0.8, 1.0), step)[0], axis=(1, 2, 3, 4, 5)) > 0 for step in range(8)])
  assert 0.2 < kinds.mean() < 0.7  # a box may be too small to be seen


def test_a_clip_without_a_good_partner_stays_as_it_is():
  mask = np.ones(B, bool)
  mask[5] = False  # the partner of 1
  for how in (mix.Mix(0.8, 0.0), mix.Mix(0.0, 1.0)):
    video, soft = run(how, mask=mask)
    np.testing.assert_array_equal(video[1], VIDEO[1])
    assert (soft[1] == SOFT[1]).all() and not (np.delete(soft, 5, 0) == np.delete(SOFT, 5, 0)).all()


def test_the_draw_depends_on_seed_and_step_and_compiles_once():
  how = mix.Mix(0.4, 0.3)
  before = mixed._cache_size()
  first, again, later, other = run(how, 3), run(how, 3), run(how, 4), run(how, 3, seed=1)
  assert mixed._cache_size() == before + 1
  assert (first[1] == again[1]).all() and (first[0] == again[0]).all()
  assert not (first[1] == later[1]).all() and not (first[1] == other[1]).all()


def test_almost_no_alpha_mixes_almost_nothing():
  _, soft = run(mix.Mix(1e-4, 0.0))
  assert (np.sort(soft, 1)[:, -1] > 0.999).all()  # one of the two, whole


def test_flipped_tells_which_clips_augment_mirrors():
  video = np.zeros((32, T, S, S, 3), np.float32)
  video[:, :, :, 0] = 1.0
  rows, copies = jnp.arange(32) % 8, jnp.arange(32) // 8
  out = augment(video, rows, copies, seed=5, size=S, how=OFF._replace(flip=0.5))
  mirrored = np.asarray(sides.flipped(rows, copies, seed=5, probability=0.5))
  np.testing.assert_array_equal(np.asarray(out)[:, 0, 0, -1, 0] == 1.0, mirrored)
  assert 8 < mirrored.sum() < 24


def test_labels_of_mirrored_clips_change_sides():
  table = sides.make_table(("left", "none", "right"), (("left", "right"),))
  assert table == (2, 1, 0)
  mirrored = jnp.array([True, False, True, True])
  assert sides.swap(jnp.array([0, 0, 1, -1]), mirrored, table).tolist() == [2, 0, 1, -1]
  frames = jnp.array([[0, 1], [0, 1], [2, 2], [0, -1]])
  assert sides.swap(frames, mirrored, table).tolist() == [[2, 1], [0, 1], [0, 0], [2, -1]]
  many = jnp.array([[1, 0, 0], [1, 0, 0], [0, 1, 1], [0, 0, 0]])
  assert sides.swap_columns(many, mirrored, table).tolist() == [[0, 0, 1], [1, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("pairs, said", [((("left", "rigth"),), "did you mean 'right'"),
                                         ((("left", "right"), ("none", "left")), "'left' twice")])
def test_pairs_that_do_not_fit_are_named(pairs, said):
  with pytest.raises(ConfigError, match=said):
    sides.make_table(("left", "none", "right"), pairs)


def test_the_input_of_a_model_is_mixed_by_what_the_batch_holds():
  video = np.repeat((20 * VIDEO).astype(np.uint8), 2, axis=1)  # two views
  drawn = mix.draw(jax.random.key(0), jnp.ones(B, bool), S, mix.Mix(0.8, 0.0))
  pixels = forward.Pixels(S, (0.0,) * 3, (1.0,) * 3, 0, None)
  out = forward.inputs({"video": video, "mix": drawn}, pixels, True).reshape(video.shape)
  want = mix.mix_video(drawn, jnp.asarray(video / np.float32(255)))
  np.testing.assert_allclose(out, want, atol=1e-5)
  assert np.abs(np.asarray(out) - video / 255).max() > 0.01
  np.testing.assert_array_equal(mix.partner(jnp.arange(B)), [4, 5, 6, 7, 0, 1, 2, 3])
