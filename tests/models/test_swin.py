"""Video Swin: windows that the clip does not fill, distances in short windows, other clips than the published."""
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert
from vft.models import make, swin

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "swin.npz")[0][
    "shapes"]}


@pytest.mark.parametrize("shape", [(1, 3, 20, 36, 3), (1, 4, 32, 32, 1)])
def test_any_clip_and_one_channel_take_the_published_arrays(tmp_path, shape):
  save_file(weights.make_weights(SHAPES, 0), tmp_path / "a.safetensors")
  model = make("swin", variant="tiny", num_classes=5)
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros(shape, np.float32))
  variables, report = convert.load({"batch_stats": {}, **empty}, str(tmp_path / "a.safetensors"), model=model)
  assert [name for name, _ in report.resized] == (["embed/kernel"] if shape[-1] == 1 else [])
  tokens = jax.jit(lambda v, x: model.apply(v, x, method="features")[0])(variables, weights.make_video(shape, 0))
  assert np.isfinite(tokens).all() and tokens.shape == (1, 2 * -(-shape[2] // 8) * -(-shape[3] // 8), 32)


@pytest.mark.parametrize("window", [(2, 4, 4), (1, 3, 2), (2, 2, 4)])
def test_a_pair_has_the_row_of_its_distance_however_short_the_window(window):
  whole = (2, 4, 4)
  centre = swin.rows(whole, whole)[0, 0]  # of no distance at all
  at = np.indices(window).reshape(3, -1).T
  apart = at[:, None] - at[None]
  np.testing.assert_array_equal(swin.rows(window, whole), centre + apart @ (7 * 7, 7, 1))


def test_tokens_that_a_shift_brings_together_are_told_apart():
  parts = swin.parts((1, 8, 4), (1, 4, 4), (0, 2, 0))
  np.testing.assert_array_equal(parts[0, :, 0], [0, 0, 0, 0, 3, 3, 6, 6])
  assert (parts == parts[:, :, :1]).all()


def test_windows_come_apart_and_together_again():
  x = jnp.arange(2 * 4 * 6 * 8 * 3).reshape(2, 4, 6, 8, 3)
  cut = swin.split(x, (2, 3, 4))
  assert cut.shape == (2, 8, 24, 3)
  np.testing.assert_array_equal(cut[0, 0], x[0, :2, :3, :4].reshape(-1, 3))
  np.testing.assert_array_equal(swin.joined(cut, (4, 6, 8), (2, 3, 4)), x)
