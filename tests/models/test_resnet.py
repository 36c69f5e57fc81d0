"""ResNet: the temporal shift, and the names under which its published weights arrive."""
import functools

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import drawn
from vft import convert, trees
from vft.models import make
from vft.models.resnet import shift

SHAPE = (1, 4, 32, 32, 3)


@functools.cache
def tiny(tsm):
  model = make("resnet", variant="tiny", num_classes=3, tsm=tsm)
  return jax.jit(functools.partial(model.apply, drawn.variables(model, np.zeros(SHAPE, np.float32))))


def clip():
  return np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)


@pytest.mark.parametrize("tsm", [False, True])
def test_the_order_of_frames_counts_with_the_shift_only(tsm):
  video = clip()
  difference = np.abs(tiny(tsm)(video)["label"] - tiny(tsm)(video[:, ::-1])["label"]).max()
  assert difference > 1e-4 if tsm else difference < 1e-5


def test_the_shift_takes_an_eighth_from_the_frame_after_and_an_eighth_from_the_one_before():
  x = np.arange(1, 3 * 16 + 1, dtype=np.float32).reshape(1, 3, 1, 1, 16)
  y = np.asarray(shift(x))[0, :, 0, 0]
  have, want = x[0, :, 0, 0], x[0, :, 0, 0].copy()
  want[:, :2] = [*have[1:, :2], (0, 0)]
  want[:, 2:4] = [(0, 0), *have[:-1, 2:4]]
  np.testing.assert_array_equal(y, want)


@pytest.mark.parametrize("frames", [1, 4])
def test_the_shift_stays_within_a_clip(frames):
  clips = np.random.default_rng(1).normal(size=(2, frames, 32, 32, 3)).astype(np.float32)
  alone = np.concatenate([tiny(True)(clips[[i]])["label"] for i in (0, 1)])
  np.testing.assert_allclose(tiny(True)(clips)["label"], alone, atol=1e-5)


def test_the_shift_adds_no_parameters_and_no_names():
  names = [trees.flatten(jax.eval_shape(make("resnet", variant="18", num_classes=2, tsm=tsm).init, jax.random.key(0),
                                        np.zeros(SHAPE, np.float32))).keys() for tsm in (False, True)]
  assert names[0] == names[1]
  assert {"params/stem/bn/scale", "params/layer2_00/shortcut_conv/kernel", "batch_stats/layer4_01/bn2/var"} <= names[0]


def original(shapes, start="", net="", head="fc"):
  """Drawn arrays under torch's names."""
  rng, arrays = np.random.default_rng(0), {f"{start}bn1.num_batches_tracked": np.array(1.0, np.float32)}
  words = {"scale": "weight", "kernel": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}
  for kind in shapes:
    for name, leaf in trees.flatten(shapes[kind]).items():
      block, *inner, last = name.split("/")
      theirs = f"{block[:6]}.{int(block[-2:])}." if block.startswith("layer") else ""
      layer = inner[0].replace("shortcut_conv", "downsample.0").replace("shortcut_bn", "downsample.1")
      layer = f"{layer}1" if block == "stem" else layer
      layer = f"{layer}{net}" if layer == "conv1" and block != "stem" else layer
      value = rng.normal(size=leaf.shape).astype(np.float32)
      value = np.moveaxis(value, (-1, -2), (0, 1)) if last == "kernel" else value
      arrays[f"{head if block == 'head' else f'{start}{theirs}{layer}'}.{words[last]}"] = np.ascontiguousarray(value)
  return arrays


def load(path, arrays, tsm=False, keep_init=()):
  """Variables and report."""
  model = make("resnet", variant="tiny", num_classes=3, tsm=tsm)
  save_file(arrays, path)
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros(SHAPE, np.float32))
  return convert.load(empty, str(path), model=model, keep_init=keep_init)


@functools.cache
def tiny_shapes():
  return jax.eval_shape(make("resnet", variant="tiny", num_classes=3).init, jax.random.key(0),
                        np.zeros(SHAPE, np.float32))


@pytest.mark.parametrize(("start", "net", "head"), [
    ("", "", "fc"), ("module.", "", "module.fc"),
    ("state_dict/module.base_model.", ".net", "state_dict/module.new_fc")])
def test_an_image_model_and_a_shifted_one_load_into_a_model_with_the_shift(start, net, head, tmp_path):
  arrays = original(tiny_shapes(), start, net, head)
  _, report = load(tmp_path / "resnet.safetensors", arrays, tsm=True)
  assert not report.unused and not report.left_at_init and len(report.loaded) == len(arrays) - 1


VISSL = "classy_state_dict/base_model/model/"


@pytest.mark.parametrize(("start", "head", "others"), [
    ("backbone_img.model.", "backbone_img.global_embedder", ("backbone_text.model.encoder.layer.0.output.dense.bias",)),
    (VISSL + "trunk/_feature_blocks.", VISSL + "heads/0.clf.0", (
        "classy_state_dict/optimizer/optim/state/0/momentum_buffer",
        "loss/moco_encoder.0._feature_blocks.bn1.weight"))])
def test_surgical_trunks_are_torchvisions_under_names_of_their_own(start, head, others, tmp_path):
  want, _ = load(tmp_path / "a.safetensors", original(tiny_shapes()))
  arrays = original(tiny_shapes(), start, head=head)
  arrays |= {name: np.zeros(8, np.float32) for name in others}  # text, training
  got, report = load(tmp_path / "b.safetensors", arrays, keep_init=("head/.*",))
  assert {name for name, _ in report.unused} == {*others, *((f"{head}.weight", f"{head}.bias") if "clf" in head else (
      "head/label/kernel", "head/label/bias"))}
  jax.tree.map(np.testing.assert_array_equal, {**got["params"], "head": 0}, {**want["params"], "head": 0})
  jax.tree.map(np.testing.assert_array_equal, got["batch_stats"], want["batch_stats"])


def test_a_resnet_inflates_into_its_sister_in_three_dimensions():
  flat, video = (trees.flatten(jax.eval_shape(make(name, variant=variant, num_classes=2).init, jax.random.key(0),
                                              np.zeros((1, 4, 32, 32, 3), np.float32))["params"])
                 for name, variant in (("resnet", "18"), ("video_resnet", "r3d_18")))
  assert flat.keys() == video.keys()
