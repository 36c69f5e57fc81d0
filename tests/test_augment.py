from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vft.data.augment import Augment, augment

OFF = Augment(crop=False, flip=0.0, brightness=0.0, contrast=0.0, blur=0.0, blur_sigma=1.0)
ALL = Augment(crop=True, flip=0.5, brightness=0.2, contrast=0.2, blur=0.5, blur_sigma=1.0)
T, R, S = 3, 12, 8  # frames, pixels before and after the crop
CENTRE = slice((R - S) // 2, (R + S) // 2)


@partial(jax.jit, static_argnames="how")
def augmented(video, rows, copies, seed, how):
  return augment(video, rows, copies, seed=seed, size=S, how=how)


def run(video, how, rows=None, copies=None, seed=0):
  """(B, T, R, R, 3) -> (B, T, S, S, 3); rows count from 0."""
  b = len(video)
  rows, copies = (jnp.arange(b) if rows is None else jnp.array(rows)), jnp.array([0] * b if copies is None else copies)
  return np.asarray(augmented(jnp.asarray(video), rows, copies, seed, how))


def noise(b, low=0.3, high=0.7):
  """Clips whose frames differ."""
  return np.random.default_rng(0).uniform(low, high, (b, T, R, R, 3)).astype(np.float32)


def repeated(clip, b):
  return np.repeat(clip[:1], b, axis=0)


def test_all_frames_of_a_clip_get_the_same_transform():
  still = np.repeat(noise(8)[:, :1], T, axis=1)
  out = run(still, ALL)
  assert (out == out[:, :1]).all()
  assert len({x.tobytes() for x in out}) == 8


def test_a_clip_is_augmented_alike_wherever_it_stands_in_a_batch():
  video, rows, copies = noise(8), np.array([5, 0, 7, 3, 9, 1, 2, 4]), np.array([0, 1, 0, 2, 1, 1, 0, 3])
  out, turned = run(video, ALL, rows, copies), run(video[::-1], ALL, rows[::-1], copies[::-1])
  np.testing.assert_array_equal(turned[::-1], out)
  np.testing.assert_allclose(run(video[2:3], ALL, rows[2:3], copies[2:3]), out[2:3], atol=1e-6)


@pytest.mark.parametrize("other", [dict(rows=[1] * 8), dict(copies=[1] * 8), dict(seed=1)], ids=["row", "copy", "seed"])
def test_row_copy_and_seed_each_draw_anew_and_nothing_else_does(other):
  video = repeated(noise(1), 8)
  first = run(video, ALL, rows=[0] * 8)
  assert (first == first[:1]).all()
  assert np.abs(run(video, ALL, **{"rows": [0] * 8, **other}) - first).max() > 1e-3


def test_nothing_asked_for_is_the_centre_crop():
  video = noise(2)
  np.testing.assert_array_equal(run(video, OFF), video[:, :, CENTRE, CENTRE])


def test_crop_takes_one_square_of_the_clip_at_a_place_of_its_own():
  y, x = np.mgrid[:R, :R] / 16
  video = repeated(np.broadcast_to(np.stack([y, x, 0 * x], -1), (1, T, R, R, 3)).astype(np.float32), 32)
  out = run(video, OFF._replace(crop=True))
  corners = {tuple((16 * clip[0, 0, 0, :2]).astype(int)) for clip in out}
  for clip, (top, left) in zip(out, ((16 * c[0, 0, 0, :2]).astype(int) for c in out), strict=True):
    np.testing.assert_array_equal(clip, video[0, :, top:top + S, left:left + S])
  assert {c[0] for c in corners} == {c[1] for c in corners} == set(range(R - S + 1))


def test_flip_mirrors_left_and_right_as_often_as_asked():
  video = repeated(noise(1), 64)
  centre = video[0, :, CENTRE, CENTRE]
  np.testing.assert_array_equal(run(video[:2], OFF._replace(flip=1.0))[1], centre[:, :, ::-1])
  half = run(video, OFF._replace(flip=0.5))
  mirrored = [bool((clip == centre[:, :, ::-1]).all()) for clip in half]
  assert all(m or (clip == centre).all() for m, clip in zip(mirrored, half, strict=True))
  assert 16 < sum(mirrored) < 48


def test_brightness_adds_one_number_to_a_clip():
  video = noise(32)
  added = (run(video, OFF._replace(brightness=0.2)) - video[:, :, CENTRE, CENTRE]).reshape(32, -1)
  np.testing.assert_allclose(added, np.repeat(added[:, :1], added.shape[1], axis=1), atol=1e-6)
  assert (np.abs(added) <= 0.2 + 1e-6).all() and added.min() < -0.1 and added.max() > 0.1


def test_contrast_scales_the_distance_to_the_mean_by_one_factor():
  video = noise(32)
  before = video[:, :, CENTRE, CENTRE]
  after = run(video, OFF._replace(contrast=0.2))
  mean = before.mean((2, 3), keepdims=True)  # of a frame and channel
  factor = ((after - mean) * (before - mean)).sum((1, 2, 3, 4)) / ((before - mean)**2).sum((1, 2, 3, 4))
  np.testing.assert_allclose(after, mean + factor[:, None, None, None, None] * (before - mean), atol=1e-5)
  assert 0.8 - 1e-5 <= factor.min() < 0.9 and 1.1 < factor.max() <= 1.2 + 1e-5


def test_blur_smooths_within_a_frame_and_as_often_as_asked():
  video = repeated(noise(1), 64)
  out = run(video, OFF._replace(blur=0.5, blur_sigma=2.0))
  centre = video[0, :, CENTRE, CENTRE]
  same = np.array([(clip == centre).all() for clip in out])
  assert 16 < same.sum() < 48
  assert (out[~same][:, :, 2:-2, 2:-2].std((2, 3)) <= centre[:, 2:-2, 2:-2].std((1, 2)) + 1e-6).all()
  flash = np.zeros_like(video)
  flash[:, 1] = 1.0
  assert (run(flash, OFF._replace(blur=0.5, blur_sigma=2.0))[:, [0, 2]] == 0).all()


def test_blur_leaves_a_grey_clip_grey_up_to_its_edges():
  grey = np.full((8, T, R, R, 3), 0.5, np.float32)
  np.testing.assert_allclose(run(grey, OFF._replace(blur=1.0, blur_sigma=2.0)), 0.5, atol=1e-5)


def test_values_stay_in_0_to_1():
  out = run(noise(32, 0.0, 1.0), ALL._replace(brightness=0.9, contrast=0.9))
  assert out.min() == 0.0 and out.max() == 1.0
