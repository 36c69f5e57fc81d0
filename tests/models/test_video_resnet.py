"""R3D, MC3, R(2+1)D: EchoNet-Dynamic's layout, sizes, and what becomes of a 2-D ResNet that is inflated into them."""
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert, trees
from vft.models import make, resnet

NORM = ("weight", "bias", "running_mean", "running_var")


def r2plus1d():
  """Arrays under torchvision's names in the shapes of variant tiny: each width is an eighth of the published one."""
  about, _ = check.read(Path(check.__file__).parent / "video_resnet_r2plus1d.npz")
  shapes = {name: tuple(n // 8 if n >= 45 else n for n in shape) for name, shape in about["shapes"]}
  return weights.make_weights(shapes, 0)


def resnet18():
  """Arrays under the names and in the shapes of torchvision's 2-D resnet18."""
  shapes = {"conv1.weight": (64, 3, 7, 7), **{f"bn1.{n}": (64,) for n in NORM}}
  for i in (1, 2, 3, 4):
    for j in (0, 1):
      block, width, before = f"layer{i}.{j}", 32 << i, 32 << (i if j or i == 1 else i - 1)
      shapes |= {f"{block}.conv1.weight": (width, before, 3, 3), f"{block}.conv2.weight": (width, width, 3, 3)}
      shapes |= {f"{block}.bn{k}.{n}": (width,) for k in (1, 2) for n in NORM}
      if before != width:
        shapes |= {f"{block}.downsample.0.weight": (width, before, 1, 1)}
        shapes |= {f"{block}.downsample.1.{n}": (width,) for n in NORM}
  return weights.make_weights({**shapes, "fc.weight": (1000, 512), "fc.bias": (1000,)}, 0)


def load(path, model, shape, **how):
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros(shape, np.float32))
  return convert.load(empty, str(path), model=model, **how)


def after(block, model, variables, video):
  """What leaves a block: (T', H', W', D) of the one clip."""
  def run(variables, video):
    _, state = model.apply(variables, video, method="features", mutable="intermediates",
                           capture_intermediates=lambda m, _: m.name == block)
    return state["intermediates"][block]["__call__"][0]
  out = jax.jit(run)(variables, video)
  return np.asarray(out.reshape(-1, *out.shape[-3:]))


@pytest.fixture(scope="module")
def image(tmp_path_factory):
  """A file of a 2-D ResNet-18, an image as a clip of one frame, what the 2-D network makes of it in layers 1 and 4."""
  path = tmp_path_factory.mktemp("resnet") / "resnet18.safetensors"
  save_file(resnet18(), path)
  frame = weights.make_video((1, 1, 32, 32, 3), 0)
  model = make("resnet", variant="18", num_classes=2)
  variables, _ = load(path, model, frame.shape, keep_init=("head/.*",))
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(resnet.nn, "max_pool", lambda x, *_, **__: x)  # the 3-D networks have none after the stem
    return path, frame, *(after(block, model, variables, frame) for block in ("layer1_01", "layer4_01"))


def test_the_checkpoint_of_echonet_dynamic_loads_with_its_one_output(tmp_path):
  arrays = {**r2plus1d(), "fc.weight": np.ones((1, 64), np.float32), "fc.bias": np.full(1, 55.6, np.float32)}
  save_file(arrays, tmp_path / "plain.safetensors")
  save_file({f"state_dict/module.{name}": a for name, a in arrays.items()}, tmp_path / "echonet.safetensors")
  model = make("video_resnet", variant="tiny", num_classes=1)
  plain, _ = load(tmp_path / "plain.safetensors", model, (1, 4, 32, 32, 3))
  variables, report = load(tmp_path / "echonet.safetensors", model, (1, 4, 32, 32, 3))
  assert not report.resized and not report.left_at_init and not report.unused
  jax.tree.map(np.testing.assert_array_equal, variables, plain)
  np.testing.assert_array_equal(variables["params"]["head"]["label"]["bias"], arrays["fc.bias"])
  np.testing.assert_array_equal(trees.flatten(variables["batch_stats"])["stem/bn_time/var"],
                                arrays["stem.4.running_var"])


@pytest.mark.parametrize("variant, grid", [("r3d_18", (1, 3, 4)), ("mc3_18", (5, 3, 4)), ("", (1, 3, 4))])
def test_odd_sizes_round_up_and_mc3_keeps_the_frames(variant, grid):
  model, video = make("video_resnet", variant=variant, num_classes=2), np.zeros((1, 5, 33, 50, 3), np.float32)
  found = []
  def run(key):
    tokens, size = model.init_with_output(key, video, method="features")[0]
    found.append(size)
    return tokens
  assert jax.eval_shape(run, jax.random.key(0)).shape == (1, np.prod(grid), 512)
  assert found == [grid]


@pytest.mark.parametrize("variant", ["r3d_18", "mc3_18"])
def test_every_frame_of_a_still_video_gives_the_image_response_when_inflated_in_the_centre(variant, image):
  path, frame, _, want = image
  video, model = np.repeat(frame, 9, axis=1), make("video_resnet", variant=variant, num_classes=2)
  variables, report = load(path, model, video.shape, keep_init=("head/.*",), layout="resnet")
  assert {n.split("/")[0] for n, _ in report.left_at_init} == {"head"}
  got = after("layer4_01", model, variables, video)
  assert got.shape == (2 if variant == "r3d_18" else 9, 2, 2, 512)
  np.testing.assert_allclose(got, np.broadcast_to(want, got.shape), atol=1e-5 * np.abs(want).max())


def test_frames_far_from_the_ends_give_the_image_response_when_inflated_by_the_average(image):
  path, frame, want, _ = image
  video, model = np.repeat(frame, 11, axis=1), make("video_resnet", variant="r3d_18", num_classes=2)
  variables, _ = load(path, model, video.shape, keep_init=("head/.*",), layout="resnet", inflate="average")
  # Five kernels of three frames see five frames to either side; only frame 5 of 0..10 sees no padding.
  differences = [np.abs(got - want[0]).max() / np.abs(want).max()
                 for got in after("layer1_01", model, variables, video)]
  assert differences[5] < 1e-5 and min(differences[:5] + differences[6:]) > 1e-4, differences


def test_r2plus1d_refuses_a_2d_resnet(image):
  with pytest.raises(convert.WeightsError, match="does not fit the model"):
    load(image[0], make("video_resnet", num_classes=2), (1, 4, 32, 32, 3), keep_init=("head/.*",), layout="resnet")
