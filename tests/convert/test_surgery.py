"""Arrays for another input: positions, patch kernels, channels, two dimensions to three, classes."""
import functools
import json
from pathlib import Path

import jax
import numpy as np
import pytest
from jax import lax
from safetensors.numpy import save_file

from tests import golden
from tests.golden import weights
from vft import convert, forward, trees
from vft.convert import surgery
from vft.errors import ConfigError, WeightsError
from vft.models import make

RNG = np.random.default_rng(0)


def normal(*shape):
  return RNG.normal(size=shape).astype(np.float32)


@functools.cache
def tiny(channels=3, classes=4):
  """A model and seeded variables of variance 1 / fan-in; its `init` would take far longer to compile."""
  model, rng = make("i3d", variant="tiny", num_classes=classes), np.random.default_rng(classes)
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 2, 32, 32, channels), np.float32))
  def value(path, x):
    if path[-1].key in ("mean", "var"):
      return np.full(x.shape, path[-1].key == "var", np.float32)
    return (rng.normal(size=x.shape) / np.sqrt(np.prod(x.shape[:-1]))).astype(np.float32)
  return model, jax.tree_util.tree_map_with_path(value, shapes)


def write(path, variables, **about):
  """A file of ours: {"params", "batch_stats"} under our own names."""
  arrays = {name: a for tree in variables.values() for name, a in trees.flatten(tree).items()}
  save_file(arrays, path, metadata={"vft": json.dumps(dict(family="i3d", **about))})
  return str(path)


# Positions


@pytest.mark.parametrize("size", ["5_7_8_4", "7_5_3_11", "1_4_3_4", "9_8_4_8"])
def test_positions_are_interpolated_as_torchs_bicubic_does(size):
  h, w, height, width = map(int, size.split("_"))
  with np.load(Path(golden.__file__).parent / "parts" / "bicubic.npz") as file:
    want = file[size]
  got = surgery.fit("embed/pos_space", weights.make_video((h, w, 3), 0), (height, width, 3))
  assert got.dtype == np.float32
  np.testing.assert_allclose(got, want, atol=1e-6 * np.abs(want).max())


@pytest.mark.parametrize("name", ["embed/pos_space", "embed/kernel", "block_00/attention/q/kernel"])
def test_an_array_of_the_right_shape_is_the_same_object(name):
  array = normal(4, 4, 3, 8)
  assert surgery.fit(name, array, (4, 4, 3, 8)) is array


def test_an_array_that_fits_is_loaded_as_it_is(tmp_path):
  model, variables = tiny()
  loaded, report = convert.load(variables, write(tmp_path / "w.safetensors", variables), model=model)
  assert not report.resized
  jax.tree.map(np.testing.assert_array_equal, loaded, variables)


@pytest.mark.parametrize("have, want", [(8, 16), (16, 8), (14, 16), (8, 5)])
def test_constant_positions_stay_and_a_ramp_stays_but_for_its_ends(have, want):
  centres = [(np.arange(n) + 0.5) / n for n in (have, want)]
  positions = np.stack([np.ones(have), centres[0]], axis=-1).astype(np.float32)
  got = surgery.fit("embed/pos_time", positions, (want, 2))
  np.testing.assert_allclose(got[:, 0], 1, atol=1e-6)
  inner = (centres[1] > 1.5 / have) & (centres[1] < 1 - 1.5 / have)
  assert inner.sum() >= 3
  assert np.abs(got[inner, 1] - centres[1][inner]).max() < 0.05 / have  # a = -3/4 bends it by 0.048 of a step at most


def test_time_alone_space_alone_and_both_are_interpolated_each_along_its_axis():
  time, space = normal(4, 1, 1, 6), normal(1, 3, 3, 6)
  joint = np.broadcast_to(time, (4, 3, 3, 6)) + np.broadcast_to(space, (4, 3, 3, 6))
  got = surgery.fit("pos_joint", joint, (8, 5, 2, 6))
  want = surgery.fit("pos_time", time, (8, 1, 1, 6)) + surgery.fit("pos_space", space, (1, 5, 2, 6))
  assert got.shape == (8, 5, 2, 6)
  np.testing.assert_allclose(got, want, atol=1e-5)


def test_positions_of_an_image_are_repeated_over_time():
  image = normal(1, 3, 3, 6)
  np.testing.assert_allclose(surgery.fit("pos_joint", image, (4, 3, 3, 6)), np.repeat(image, 4, axis=0), atol=1e-6)


def test_the_temporal_transformers_positions_follow_the_number_of_frames():
  def head(frames):
    model = make("i3d", variant="tiny", num_classes=4, head="transformer")
    return trees.flatten(jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, frames, 32, 32, 3)))["params"])
  short, long = head(8)["head/transformer/pos_time"].shape, head(32)["head/transformer/pos_time"].shape
  assert (short, long) == ((1, 128), (4, 128))
  assert surgery.fit("head/transformer/pos_time", normal(*short), long).shape == long


# Kernels


@pytest.mark.parametrize("size", [(4, 8, 8), (1, 8, 8), (2, 16, 16), (3, 7, 11), (2, 8, 4)])
def test_another_tubelet_or_patch_keeps_the_sum_of_its_kernel(size):
  kernel = normal(2, 8, 8, 3, 5)
  got = surgery.fit("embed/kernel", kernel, (*size, 3, 5))
  assert got.shape == (*size, 3, 5) and got.dtype == np.float32
  np.testing.assert_allclose(got.sum((0, 1, 2)), kernel.sum((0, 1, 2)), rtol=1e-4, atol=1e-4)


def test_a_finer_patch_gives_a_ramp_the_same_response_and_a_coarser_one_nearly():
  kernel = normal(8, 8, 1, 5)
  def response(kernel):
    ramp = (np.arange(len(kernel)) + 0.5) / len(kernel)
    return np.einsum("h,hwcd->d", ramp, kernel)
  np.testing.assert_allclose(response(surgery.fit("embed/kernel", kernel, (16, 24, 1, 5))), response(kernel), atol=1e-5)
  smooth = np.cumsum(kernel, axis=0)
  coarse = response(surgery.fit("embed/kernel", smooth, (6, 6, 1, 5)))
  assert np.abs(coarse - response(smooth)).max() < 0.02 * np.abs(response(np.abs(smooth))).max()


@pytest.mark.parametrize("inflate", ["centre", "average"])
@pytest.mark.parametrize("frames", [2, 3])
def test_an_inflated_kernel_sees_a_still_video_as_the_image(inflate, frames):
  kernel, image = normal(3, 3, 2, 5), normal(1, 6, 7, 2)
  def convolve(x, kernel, letters):
    dimensions = ("N" + letters + "C", letters + "IO", "N" + letters + "C")
    return np.asarray(lax.conv_general_dilated(x, kernel, (1,) * len(letters), "SAME", dimension_numbers=dimensions))
  inflated = surgery.fit("block_00/conv/kernel", kernel, (frames, *kernel.shape), inflate)
  still = convolve(np.repeat(image[:, None], 5, axis=1), inflated, "DHW")
  want = convolve(image, kernel, "HW")
  for frame in range(1, 4):
    np.testing.assert_allclose(still[:, frame], want, atol=1e-5)
  assert inflated.any((1, 2, 3, 4)).sum() == (1 if inflate == "centre" else frames)


def test_an_image_patch_kernel_becomes_a_tubelet_of_another_size():
  kernel = normal(8, 8, 3, 5)
  got = surgery.fit("embed/kernel", kernel, (2, 4, 4, 3, 5), "average")
  np.testing.assert_allclose(got[0], got[1])
  np.testing.assert_allclose(got.sum(0), surgery.fit("embed/kernel", kernel, (4, 4, 3, 5)), atol=1e-5)


@pytest.mark.parametrize("name, have, want", [
    ("conv_2c/conv/kernel", (3, 3, 3, 8, 4), (3, 3, 3, 8, 5)),  # another width
    ("conv_2c/conv/kernel", (3, 3, 3, 8, 4), (3, 3, 3, 6, 4)),
    ("conv_2c/conv/kernel", (3, 3, 3, 8, 4), (1, 3, 3, 8, 4)),  # another kernel, not of patches
    ("conv_2c/conv/kernel", (7, 7, 3, 4), (5, 3, 3, 3, 4)),
    ("embed/kernel", (8, 8, 3, 4), (8, 8, 3, 5)),
    ("embed/kernel", (8, 8, 2, 4), (8, 8, 3, 4)),
    ("embed/kernel", (2, 8, 8, 3, 4), (8, 8, 3, 4)),  # three dimensions to two
    ("embed/pos_space", (4, 4, 8), (4, 4, 6)),
    ("embed/pos_space", (16, 8), (4, 4, 8)),
    ("embed/bias", (8,), (6,)),
    ("head/label/kernel", (8, 4), (8, 3)),
])
def test_other_changes_are_refused(name, have, want):
  assert surgery.fit(name, normal(*have), want) is None


# Channels


def test_i3d_with_one_channel_sees_grey_video_as_the_published_one_does(tmp_path):
  model, variables = tiny()
  path = write(tmp_path / "w.safetensors", variables)
  one, report = convert.load(tiny(channels=1)[1], path, model=model)
  assert [name for name, _ in report.resized] == ["conv_1a/conv/kernel"]
  grey = np.random.default_rng(1).integers(0, 256, (1, 1, 4, 40, 40, 1), np.uint8)
  batch = {"video": np.repeat(grey, 3, axis=-1)}  # as the reader gives it
  pixels = forward.Pixels(32, model.mean, model.std, 0, None)
  single = pixels._replace(channels=1, mean=model.mean[:1], std=model.std[:1])
  assert forward.inputs(batch, single, False).shape == (1, 4, 32, 32, 1)
  run = jax.jit(model.apply)
  got, want = run(one, forward.inputs(batch, single, False)), run(variables, forward.inputs(batch, pixels, False))
  np.testing.assert_allclose(got["label"], want["label"], atol=1e-5 * np.abs(want["label"]).max())
  back, _ = convert.load(variables, write(tmp_path / "one.safetensors", one), model=model)  # and grey weights on colour
  again = run(back, forward.inputs(batch, pixels, False))
  np.testing.assert_allclose(again["label"], want["label"], atol=1e-5 * np.abs(want["label"]).max())


def test_one_channel_has_the_mean_of_the_three_statistics(tiny_config):
  tiny_config.data.channels = 1
  model = make("i3d", variant="tiny", num_classes=2, mean=(0.2, 0.3, 0.7), std=(0.1, 0.2, 0.3))
  pixels = forward.make_pixels(tiny_config, model)
  np.testing.assert_allclose((*pixels.mean, *pixels.std, pixels.channels), (0.4, 0.2, 1))


# Classes


def published(tmp_path, **about):
  return write(tmp_path / "w.safetensors", tiny()[1], **about)


def test_the_published_classifier_is_kept_where_the_number_of_classes_agrees_and_dropped_by_keep_init(tmp_path):
  path, (model, mine) = published(tmp_path), tiny()
  kept, _ = convert.load(jax.tree.map(np.zeros_like, mine), path, model=model)
  np.testing.assert_array_equal(kept["params"]["head"]["label"]["kernel"], mine["params"]["head"]["label"]["kernel"])
  model, mine = tiny(classes=3)
  new, report = convert.load(mine, path, model=model, keep_init=("head/.*",))
  np.testing.assert_array_equal(new["params"]["head"]["label"]["kernel"], mine["params"]["head"]["label"]["kernel"])
  assert {name for name, _ in report.left_at_init} == {"head/label/kernel", "head/label/bias"}
  with pytest.raises(WeightsError, match=r"has 4 classes, the config 3.*\n?.*'head/\.\*' to init\.keep_init"):
    convert.load(mine, path, model=model)


@pytest.mark.parametrize("keep_init", [("head/.*",), ()])
def test_classes_known_by_name_start_at_the_published_columns(tmp_path, keep_init):
  path = published(tmp_path, labels=["Jumping Jack", "walking", "sit_up", "RUN"])
  model, mine = tiny(classes=3)
  got, report = convert.load(mine, path, model=model, keep_init=keep_init, classes=("sit-up", "polyp", "run"))
  theirs, first = tiny()[1]["params"]["head"]["label"], mine["params"]["head"]["label"]
  for name in ("kernel", "bias"):
    want = np.stack([theirs[name][..., 2], first[name][..., 1], theirs[name][..., 3]], axis=-1)
    np.testing.assert_array_equal(got["params"]["head"]["label"][name], want)
  assert not report.left_at_init and ("head/label/kernel", (128, 4)) in report.resized


@pytest.mark.parametrize("labels, classes, words", [
    ((), ("run", "walk", "sit"), r"labels are not known(.|\n)*--labels=labels\.txt"),
    (("a", "b", "c", "d"), ("run", "walk", "sit"), r"none of the classes \['run', 'walk', 'sit'\]"),
    (("run", "walk", "sit"), ("run", "walk", "sit"), "has 4 classes, its labels are 3"),
])
def test_labels_that_do_not_help_are_an_error_with_the_cure(tmp_path, labels, classes, words):
  model, mine = tiny(classes=3)
  with pytest.raises(WeightsError, match=words):
    convert.load(mine, published(tmp_path, labels=labels), model=model, classes=classes)


def test_what_stands_before_the_published_classifier_is_loaded_with_its_columns(tmp_path):
  model, mine = tiny(classes=3)
  norm = {"norm": {"scale": normal(128), "bias": normal(128)}}
  def add(variables, norm):
    return {**variables, "params": {**variables["params"], "head": {**variables["params"]["head"], **norm}}}
  path = write(tmp_path / "w.safetensors", add(tiny()[1], norm), labels=["run", "walk", "sit", "lie"])
  start = add(mine, {"norm": {"scale": np.ones(128, np.float32), "bias": np.zeros(128, np.float32)}})
  got, _ = convert.load(start, path, model=model, keep_init=("head/.*",), classes=("run", "sit", "polyp"))
  np.testing.assert_array_equal(got["params"]["head"]["norm"]["scale"], norm["norm"]["scale"])
  kept, _ = convert.load(start, path, model=model, keep_init=("head/.*",))
  np.testing.assert_array_equal(kept["params"]["head"]["norm"]["scale"], np.ones(128))


@pytest.mark.fault("F39e", "head of another class count", 'exit 4: add "head/.*" to init.keep_init')
def test_a_classifier_of_another_width_is_refused_with_the_cure():
  with pytest.raises(WeightsError, match=r"takes 8 channels, that of the model 6.*head=original"):
    surgery.map_labels(normal(8, 3), normal(6, 2), ("a", "b", "c"), ("a", "b"))


def test_an_unknown_layout_lists_the_known(tmp_path):
  model, mine = tiny()
  save_file({"x": normal(2)}, tmp_path / "x.safetensors")
  with pytest.raises(ConfigError, match=r"init\.layout is 'i3'; known: .*i3d"):
    convert.load(mine, str(tmp_path / "x.safetensors"), model=model, layout="i3")
