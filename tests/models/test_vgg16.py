"""VGG16: every layout of Keras's files, and of torchvision's, arrives whole; scales and channels of the two."""
import re

import h5py
import jax
import numpy as np
import pytest

from tests import drawn
from vft import convert, trees
from vft.convert import RULES, rules, vgg16
from vft.models import make

MODEL = make("vgg16", variant="tiny", num_classes=3, head="mlp", hidden=(8, 6), temporal="logits")
SHAPES = jax.eval_shape(MODEL.init, jax.random.key(0), np.zeros((1, 1, 32, 32, 3), np.float32))
LAYERS = (*vgg16.BLOCKS, "fc1", "fc2", "predictions")
OURS = (*vgg16.BLOCKS, *vgg16.HEAD)


def number(layer):
  """conv2d, conv2d_1 ... dense, dense_1 ..., as Keras 3 counts layers in .weights.h5."""
  kind, index = ("conv2d", LAYERS.index(layer)) if layer in vgg16.BLOCKS else ("dense", LAYERS.index(layer) - 13)
  return f"{kind}_{index}" if index else kind


LAYOUTS = {
    "published": lambda layer, i: f"{layer}/{layer}_{'Wb'[i]}_1:0",
    "keras 2": lambda layer, i: f"{layer}/{layer}/{('kernel', 'bias')[i]}:0",
    "keras 3 .h5": lambda layer, i: f"model_weights/{layer}/{layer}/{('kernel', 'bias')[i]}",
    "keras 3 .weights.h5": lambda layer, i: f"layers/{number(layer)}/vars/{i}",
}


def arrays():
  """{our name: seeded values}, as Keras lays its arrays out."""
  rng, flat = np.random.default_rng(0), trees.flatten(SHAPES["params"])
  return {name: rng.normal(size=x.shape).astype(np.float32) for name, x in flat.items()}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_array_of_a_keras_file_arrives(layout, tmp_path):
  values = arrays()
  with h5py.File(tmp_path / "vgg.h5", "w") as file:
    for layer, ours in zip(LAYERS, OURS, strict=True):
      for i, kind in enumerate(("kernel", "bias")):
        file[LAYOUTS[layout](layer, i)] = values[f"{ours}/{kind}"]
    file["optimizer_weights/adam/fc1_kernel_momentum"] = np.zeros((2, 2), np.float32)
  loaded, report = convert.load(SHAPES, str(tmp_path / "vgg.h5"), model=MODEL)
  assert len(report.loaded) == 32 and not report.unused
  first = values.pop("block1_conv1/kernel")
  flat = trees.flatten(loaded["params"])
  for name, value in values.items():
    np.testing.assert_array_equal(flat[name], value, err_msg=name)
  np.testing.assert_allclose(flat["block1_conv1/kernel"][:, :, 0], 255 * 0.229 * first[:, :, 2], rtol=1e-6)  # red


@pytest.mark.parametrize("prefix", ["model_weights/vgg16/{}/kernel", "layers/functional/layers/{}/vars/0"])
def test_a_trunk_inside_another_keras_model_is_found_and_the_dense_layers_there_are_not_its_own(prefix):
  layers = {layer: number(layer) if "vars" in prefix else layer for layer in LAYERS[:13]}
  have = {prefix.format(theirs): np.zeros((3, 3, 3, 8), np.float32) for theirs in layers.values()}
  other = prefix.format("dense")
  out, unknown = rules.apply({**have, other: np.zeros((4, 2), np.float32)}, RULES["vgg16"])
  assert sorted(out) == [f"{block}/kernel" for block in vgg16.BLOCKS] and unknown == [(other, (4, 2))]


def test_both_statistics_give_keras_weights_what_they_expect():
  """Pixels less Keras's means, blue first, times the file's kernel: the same through our input and our kernel."""
  pixels, kernel = np.random.default_rng(1).uniform(0, 255, 3), np.random.default_rng(2).normal(size=(1, 1, 3, 4))
  want = (pixels[::-1] - (103.939, 116.779, 123.68)) @ kernel[0, 0]
  mean, std = (np.array(x) for x in make("vgg16", variant="keras", num_classes=2).statistics("keras"))
  got = ((pixels / 255 - mean) / std) @ vgg16.caffe_kernel(kernel)[0, 0]
  np.testing.assert_allclose(got, want, rtol=1e-9)


def test_frames_are_flattened_unless_asked_otherwise_and_classified_one_by_one():
  assert make("vgg16", variant="tiny", num_classes=2).spec.pool == "flatten"
  shapes = jax.eval_shape(MODEL.init, jax.random.key(0), np.zeros((1, 2, 70, 100, 3), np.float32))
  assert trees.flatten(shapes["params"])["head/hidden_00/kernel"].shape == (2 * 3 * 64, 8)
  variables = drawn.variables(MODEL, np.zeros((1, 2, 32, 32, 3), np.float32))
  video = np.random.default_rng(0).normal(size=(1, 2, 32, 32, 3)).astype(np.float32)
  run = jax.jit(lambda v: MODEL.apply(variables, v)["label"])
  frames = np.stack([run(np.repeat(video[:, [i]], 2, axis=1)) for i in (0, 1)])
  np.testing.assert_allclose(run(video), frames.mean(axis=0), atol=1e-5)


def test_a_head_of_another_size_is_named(tmp_path):
  with h5py.File(tmp_path / "vgg.h5", "w") as file:
    for name, value in arrays().items():
      layer = LAYERS[OURS.index(name.rpartition("/")[0])]
      file[f"{layer}/{layer}/{name.rpartition('/')[2]}:0"] = value
  model = make("vgg16", variant="tiny", num_classes=3, head="mlp", hidden=(7, 6))
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1, 32, 32, 3), np.float32))
  with pytest.raises(Exception, match=re.escape("head/hidden_00/kernel: file (64, 8), model (64, 7)")):
    convert.load(shapes, str(tmp_path / "vgg.h5"), model=model)
