"""V-JEPA 2: its files with and without the probe, other clips than the published, and how a place turns a query."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert
from vft.models import make, vjepa2

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "vjepa2.npz")[0][
    "shapes"]}


def load(path, arrays, shape, keep_init=(), head="original", **options):
  save_file(arrays, path)
  model = make("vjepa2", variant="tiny", num_classes=5, head=head, depth=4, **options)
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros(shape, np.float32))
  return model, *convert.load({"batch_stats": {}, **empty}, str(path), model=model, keep_init=keep_init)


def test_a_file_of_pre_training_has_the_trunk_alone(tmp_path):
  arrays = {name.removeprefix("vjepa2."): a for name, a in weights.make_weights(SHAPES, 0).items() if "encoder" in name}
  arrays["predictor.layer.0.norm1.weight"] = np.ones(12, np.float32)
  _, variables, report = load(tmp_path / "a.safetensors", arrays, (1, 4, 32, 32, 3), ("head/.*",))
  assert not report.unused and {name.split("/")[0] for name, _ in report.left_at_init} == {"head"}
  want = arrays["encoder.layer.1.attention.query.weight"].T
  np.testing.assert_array_equal(variables["params"]["block_01"]["attention"]["q"]["kernel"], want)


def test_the_published_probe_is_the_attentive_head_of_depth_four(tmp_path):
  shape, arrays = (1, 4, 32, 32, 3), weights.make_weights(SHAPES, 0)
  _, want, _ = load(tmp_path / "a.safetensors", arrays, shape)
  _, got, report = load(tmp_path / "a.safetensors", arrays, shape, head="attentive")
  assert not report.left_at_init and not report.unused
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("shape, tubelet, resized", [
    ((1, 8, 48, 80, 3), 2, []), ((1, 4, 32, 32, 3), 4, ["embed/kernel"]), ((1, 4, 32, 32, 1), 2, ["embed/kernel"])])
def test_other_clips_need_no_other_arrays(tmp_path, shape, tubelet, resized):
  model, variables, report = load(tmp_path / "a.safetensors", weights.make_weights(SHAPES, 0), shape, ("head/.*",),
                                  head="linear", tubelet=tubelet)
  assert [name for name, _ in report.resized] == resized
  tokens = jax.jit(lambda v, x: model.apply(v, x, method="features")[0])(variables, weights.make_video(shape, 0))
  assert tokens.shape == (1, shape[1] // tubelet * (shape[2] // 16) * (shape[3] // 16), 32)
  assert np.isfinite(tokens).all()


def test_a_third_of_the_channels_is_turned_by_each_axis_and_the_first_token_not_at_all():
  x = np.random.default_rng(0).normal(size=(2, 2 * 3 * 4, 2, 20)).astype(np.float32)
  got = np.asarray(vjepa2.turned(jnp.asarray(x), (2, 3, 4))).reshape(2, 2, 3, 4, 2, 20)
  x = x.reshape(got.shape)
  np.testing.assert_array_equal(got[..., 18:], x[..., 18:])  # 20 = 3 x 6 + 2
  np.testing.assert_array_equal(got[:, 0, ..., :6], x[:, 0, ..., :6])
  np.testing.assert_array_equal(got[:, :, 0, ..., 6:12], x[:, :, 0, ..., 6:12])
  np.testing.assert_array_equal(got[:, :, :, 0, :, 12:18], x[:, :, :, 0, :, 12:18])
  a, b = x[0, 1, 0, 0, 0, :2]  # at frame 1 the first channel's angle is 1, the second's 10000 ** (-1 / 3)
  angles = 1, 10000 ** (-1 / 3)
  want = a * np.cos(angles[0]) - b * np.sin(angles[0]), b * np.cos(angles[1]) + a * np.sin(angles[1])
  np.testing.assert_allclose(got[0, 1, 0, 0, 0, :2], want, rtol=1e-5)
