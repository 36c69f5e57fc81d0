from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import default, presets
from vft import config as configs
from vft.data.augment import Augment, augment, geometry, make, randaugment
from vft.errors import ConfigError

OFF = Augment(crop=False, scale=(), aspect=(0.75, 1.33), rotate=0.0, flip=0.0, brightness=0.0, contrast=0.0,
              saturation=0.0, hue=0.0, blur=0.0, blur_sigma=1.0, randaugment=0, magnitude=5.0, speckle=0.0, gain=0.0,
              tgc=0.0, smoke=0.0, specular=0, erase=0.0, erase_area=(0.02, 0.33))
ALL = OFF._replace(crop=True, flip=0.5, brightness=0.2, contrast=0.2, blur=0.5)
EACH = {  # one transform alone, strong enough to be seen
    "crop": dict(crop=True), "scale": dict(crop=True, scale=(0.3, 0.6)), "rotate": dict(rotate=30.0),
    "flip": dict(flip=0.5), "brightness": dict(brightness=0.2), "contrast": dict(contrast=0.4),
    "saturation": dict(saturation=0.8), "hue": dict(hue=0.3), "blur": dict(blur=0.9, blur_sigma=2.0),
    "randaugment": dict(randaugment=1, magnitude=9.0), "speckle": dict(speckle=0.3), "gain": dict(gain=0.3),
    "tgc": dict(tgc=0.3), "smoke": dict(smoke=0.9), "specular": dict(specular=5), "erase": dict(erase=0.9)}
each = pytest.mark.parametrize("how", [OFF._replace(**how) for how in EACH.values()], ids=EACH)
T, R, S = 3, 12, 8  # frames, pixels before and after the crop
CENTRE = slice((R - S) // 2, (R + S) // 2)


@partial(jax.jit, static_argnames="how",
         compiler_options={"xla_backend_optimization_level": 1})  # at 0 (conftest.py) jax 0.10.2 turns hues
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


@each
def test_all_frames_of_a_clip_get_the_same_transform_and_clips_different_ones(how):
  still = np.repeat(repeated(noise(1), 8)[:, :1], T, axis=1)
  out = run(still, how)
  np.testing.assert_allclose(out, np.repeat(out[:, :1], T, axis=1), atol=1e-6)
  assert len({x.round(4).tobytes() for x in out}) > 1


@each
def test_a_clip_is_augmented_alike_wherever_it_stands_in_a_batch(how):
  video, rows, copies = noise(8), np.array([5, 0, 7, 3, 9, 1, 2, 4]), np.array([0, 1, 0, 2, 1, 1, 0, 3])
  out, turned = run(video, how, rows, copies), run(video[::-1], how, rows[::-1], copies[::-1])
  np.testing.assert_allclose(turned[::-1], out, atol=1e-6)


@each
def test_values_stay_in_0_to_1_and_black_stays_a_number(how):
  for video in (noise(8, 0.0, 1.0), np.zeros((8, T, R, R, 3), np.float32), np.ones((8, T, R, R, 3), np.float32)):
    out = run(video, how)
    assert np.isfinite(out).all() and out.min() >= 0.0 and out.max() <= 1.0


def test_almost_no_strength_is_almost_the_identity():
  how = OFF._replace(rotate=1e-4, brightness=1e-5, contrast=1e-5, saturation=1e-5, hue=1e-5, blur=1.0, blur_sigma=0.1,
                     speckle=1e-5, gain=1e-5, tgc=1e-5, smoke=1e-6, erase=1e-6)
  np.testing.assert_allclose(run(noise(4), how), noise(4)[:, :, CENTRE, CENTRE], atol=2e-4)


def test_one_transform_does_not_change_what_another_draws():
  video = noise(8)
  mirrored = [bool((x == y[:, :, ::-1]).all()) for x, y in zip(run(video, OFF._replace(flip=0.5)),
                                                               video[:, :, CENTRE, CENTRE], strict=True)]
  both = run(video, OFF._replace(flip=0.5, brightness=0.1, gain=0.1, contrast=0.1))
  plain = run(video, OFF._replace(brightness=0.1, gain=0.1, contrast=0.1))
  assert 0 < sum(mirrored) < 8
  for x, y, m in zip(both, plain, mirrored, strict=True):
    np.testing.assert_allclose(x, y[:, :, ::-1] if m else y, atol=1e-5)


def test_a_second_batch_and_other_rows_compile_nothing_anew():
  how = OFF._replace(crop=True, scale=(0.5, 1.0), rotate=5.0, flip=0.1, tgc=0.1)
  before = augmented._cache_size()
  for seed in range(3):
    run(noise(4), how, rows=[seed] * 4, copies=[seed] * 4, seed=seed)
  assert augmented._cache_size() == before + 1


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


def test_a_scaled_crop_is_a_rectangle_of_the_asked_area_and_aspect():
  y, x = np.mgrid[:R, :R] / R
  video = repeated(np.broadcast_to(np.stack([y, x, 0 * x], -1), (1, T, R, R, 3)).astype(np.float32), 64)
  out = run(video, OFF._replace(crop=True, scale=(0.2, 0.4), aspect=(0.5, 2.0)))[:, 0]
  tall = (out[:, 5, 4, 0] - out[:, 2, 4, 0]) * S / 3  # slope away from the edge x pixels: height in frames
  wide = (out[:, 4, 5, 1] - out[:, 4, 2, 1]) * S / 3
  assert (tall * wide).min() > 0.19 and (tall * wide).max() < 0.41
  assert (wide / tall).min() < 0.7 and (wide / tall).max() > 1.4 and (wide / tall).max() < 2.1
  corners = out[:, 0, 0, :2]
  assert corners.min() < 0.15 and corners.max() > 0.4


def test_a_scaled_crop_of_everything_is_the_frame():
  video = noise(2)[:, :, :S, :S]
  out = run(video, OFF._replace(crop=True, scale=(1.0, 1.0), aspect=(1.0, 1.0)))
  np.testing.assert_allclose(out, video, atol=1e-6)


def test_rotation_turns_a_bar_by_one_angle_within_the_limit():
  side = 41
  bar = np.zeros((32, 1, side, side, 3), np.float32)
  bar[:, :, 19:22] = 1.0  # horizontal
  out = np.asarray(augment(jnp.asarray(bar), jnp.arange(32), jnp.zeros(32, int), seed=0, size=side,
                           how=OFF._replace(rotate=20.0)))[:, 0, ..., 0]
  rows = np.arange(side) - 20
  left, right = ((out[:, :, c] * rows[None]).sum(1) / out[:, :, c].sum(1) for c in (10, 30))
  angles = np.degrees(np.arctan2(right - left, 20))
  assert np.abs(angles).max() < 21 and angles.min() < -12 and angles.max() > 12
  np.testing.assert_allclose(left, -right, atol=0.1)  # about the centre


def test_saturation_moves_colours_to_and_from_grey_and_leaves_grey():
  red = np.broadcast_to(np.float32([0.6, 0.3, 0.3]), (32, T, R, R, 3))
  out = run(red, OFF._replace(saturation=0.5))[:, 0, 0, 0]
  np.testing.assert_allclose(out[:, 0], 0.6, atol=1e-5)  # the value of HSV
  assert 0.14 < (out[:, 0] - out[:, 1]).min() < 0.2 and 0.4 < (out[:, 0] - out[:, 1]).max() < 0.46
  grey = noise(4)[..., :1].repeat(3, -1)
  np.testing.assert_allclose(run(grey, OFF._replace(saturation=0.5, hue=0.5)), grey[:, :, CENTRE, CENTRE], atol=1e-6)


def test_hue_turns_red_towards_its_neighbours():
  red = np.broadcast_to(np.float32([1, 0, 0]), (32, T, R, R, 3))
  out = run(red, OFF._replace(hue=1 / 6))[:, 0, 0, 0]
  np.testing.assert_allclose(out[:, 0], 1.0, atol=1e-5)  # up to yellow or magenta
  assert out[:, 1].max() > 0.5 and out[:, 2].max() > 0.5 and (out[:, 1] * out[:, 2]).max() < 1e-6


def test_speckle_multiplies_all_colours_and_leaves_black():
  video = noise(8, 0.2, 0.4)
  video[..., 4:8, :, :] = 0.0
  out = run(video, OFF._replace(speckle=0.2))
  before = video[:, :, CENTRE, CENTRE]
  assert (out[before == 0] == 0).all()
  factor = out / np.where(before == 0, 1, before)
  np.testing.assert_allclose(factor[..., 0], factor[..., 1], atol=1e-5)
  assert 0.02 < factor[:, :, 6:].std() < 0.25


def test_gain_is_one_factor_and_compensation_one_for_each_depth():
  video = noise(48)
  factor = run(video, OFF._replace(gain=0.3)) / video[:, :, CENTRE, CENTRE]
  np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :1, :1, :1], factor.shape), rtol=1e-4)
  assert 0.7 - 1e-4 < factor.min() < 0.8 and 1.2 < factor.max() < 1.3 + 1e-4
  factor = run(video, OFF._replace(tgc=0.3)) / video[:, :, CENTRE, CENTRE]
  np.testing.assert_allclose(factor, np.broadcast_to(factor[:, :1, :, :1, :1], factor.shape), rtol=1e-4)
  assert np.ptp(factor[:, 0, :, 0, 0], axis=1).min() > 0.01
  assert factor.min() > 0.7 - 1e-4 and factor.max() < 1.3 + 1e-4


def test_smoke_veils_black_with_light_grey_and_lowers_contrast():
  video = np.zeros((8, T, R, R, 3), np.float32)
  video[:, :, ::2] = 1.0
  out = run(video, OFF._replace(smoke=1.0))[:, 0]
  black, white = out[:, 1::2], out[:, ::2]
  assert (black >= 0).all() and 0.05 < black.max() < 0.6 and (white > black).all()
  assert white.max() <= 1 and white.min() < 0.95  # it hides what is bright, too
  np.testing.assert_allclose(out, out[..., :1].repeat(3, -1), atol=1e-6)


def test_highlights_are_few_white_and_only_brighten():
  dark = np.full((8, 1, 100, 100, 3), 0.3, np.float32)
  out = np.asarray(augment(jnp.asarray(dark), jnp.arange(8), jnp.zeros(8, int), seed=0, size=100,
                           how=OFF._replace(specular=6)))
  assert out.min() >= 0.3 - 1e-6 and out.max() == 1.0
  assert 0.0005 < (out > 0.9).mean() < 0.03


def test_erasing_puts_one_box_of_noise_as_often_as_asked():
  video = repeated(np.ones((1, T, R, R, 3), np.float32), 64)  # noise is below 1
  erased = run(video, OFF._replace(erase=0.5, erase_area=(0.2, 0.3)))[:, 0, :, :, 0] != 1.0
  assert 16 < erased.any((1, 2)).sum() < 48
  for there in erased[erased.any((1, 2))]:
    rows, columns = there.any(1).sum(), there.any(0).sum()
    assert there.sum() == rows * columns and 0.1 < there.mean() < 0.4


@pytest.mark.parametrize("name", randaugment.OPS)
def test_each_op_of_randaugment_at_magnitude_0_is_the_identity(name):
  clip = np.round(noise(1)[0] * 255) / 255
  drawn = randaugment.Drawn(jnp.array([randaugment.OPS.index(name)]), jnp.zeros(1))
  np.testing.assert_allclose(randaugment.matrix(drawn), np.eye(3), atol=1e-7)
  if name != "autocontrast":
    np.testing.assert_allclose(randaugment.colours(clip, drawn), clip, atol=1e-6)


def op(name, clip, level):
  return np.asarray(randaugment.colours(jnp.asarray(clip), randaugment.Drawn(
      jnp.array([randaugment.OPS.index(name)]), jnp.array([level]))))


def test_ops_of_randaugment_do_what_they_are_called():
  clip = np.full((1, 2, 2, 3), 0.5, np.float32)
  clip[0, 0] = [[0.2, 0.2, 0.2], [0.6, 0.3, 0.3]]
  np.testing.assert_allclose(op("brightness", clip, -0.5), clip * 0.55, atol=1e-6)
  np.testing.assert_allclose(op("solarize", clip, 0.6), np.where(clip > 0.4, 1 - clip, clip), atol=1e-6)
  np.testing.assert_allclose(op("posterize", clip, 1.0), np.floor(clip * 255 / 16) * 16 / 255, atol=1e-6)
  np.testing.assert_allclose(op("colour", clip, -1.0)[0, 0, 0], 0.2, atol=1e-6)
  assert np.ptp(op("colour", clip, -1.0)[0, 0, 1]) == pytest.approx(0.03, abs=1e-6)
  assert op("contrast", clip, -1.0).std() < 0.2 * clip.std()
  assert op("sharpness", clip, 1.0).std() > clip.std() > op("sharpness", clip, -1.0).std()
  wide = op("autocontrast", clip, 0.0)
  assert (wide.min((0, 1, 2)) == 0).all() and (wide.max((0, 1, 2)) == 1).all()


def test_randaugment_moves_a_dot_as_far_as_published():
  def seen(name, level, row=50):
    drawn = randaugment.Drawn(jnp.array([randaugment.OPS.index(name)]), jnp.array([level]))
    dot = np.zeros((1, 100, 100, 1), np.float32)
    dot[0, row, 50] = 1.0
    out = np.asarray(geometry.warp(jnp.asarray(dot), randaugment.matrix(drawn)))[0, ..., 0]
    return [float((out * g).sum() / out.sum()) for g in np.mgrid[:100, :100]]
  assert seen("translate_x", 0.5) == pytest.approx([50, 50 - 0.5 * 150 / 331 * 100], abs=0.1)
  assert seen("shear_x", 1.0, row=20) == pytest.approx([20, 50 + 0.3 * 29.5], abs=0.2)
  assert seen("shear_y", 1.0, row=20) == pytest.approx([20, 50], abs=0.5)  # it stands in the middle column
  assert seen("translate_y", -0.2) == pytest.approx([50 + 0.2 * 150 / 331 * 100, 50], abs=0.1)


def test_randaugment_draws_every_op_and_both_signs():
  drawn = jax.vmap(lambda k: randaugment.draw(k, 2, 5.0))(jax.random.split(jax.random.key(0), 200))
  assert set(np.unique(drawn.op)) == set(range(len(randaugment.OPS)))
  assert set(np.unique(drawn.level)) == {-0.5, 0.5}


def test_values_stay_in_0_to_1():
  out = run(noise(32, 0.0, 1.0), ALL._replace(brightness=0.9, contrast=0.9))
  assert out.min() == 0.0 and out.max() == 1.0


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_preset_fits_the_config_and_says_each_value_itself(name):
  config, unset = default.get_config(), {"copies", "repeats", "magnitude", "erase_area"}
  config.data.source = "csv:clips.csv"
  config.augment.update(presets.PRESETS[name])
  configs.check(config)
  assert set(config.augment) - set(presets.PRESETS[name]) <= unset
  assert make(configs.from_json(configs.to_json(config)).augment) == make(config.augment) is not None


def test_presets_keep_what_must_not_change():
  assert presets.ULTRASOUND["flip"] == presets.ULTRASOUND["hue"] == presets.ULTRASOUND["saturation"] == 0
  assert presets.SURGERY["flip"] == 0


@pytest.mark.parametrize("field, value, said", [
    ("scale", (0.9, 0.5), "two rising numbers"), ("scale", (0.5, 1.5), "at most 1"), ("aspect", (0.0, 1.0), "above 0"),
    ("repeats", 5, "must divide"), ("flip_pairs", ("left", "right"), "pairs of class names"),
    ("hue", 0.7, "0 to 0.5"), ("magnitude", 11.0, "0 to 10")])
def test_values_that_cannot_work_are_refused(field, value, said):
  config = default.get_config()
  config.data.source = "csv:clips.csv"
  config.augment[field] = value
  with pytest.raises(ConfigError, match=said):
    configs.check(config)


def test_a_size_without_a_crop_is_refused():
  config = default.get_config()
  config.data.source = "csv:clips.csv"
  config.augment.update(crop=False, scale=(0.5, 1.0))
  with pytest.raises(ConfigError, match=r"augment\.crop is False"):
    configs.check(config)
