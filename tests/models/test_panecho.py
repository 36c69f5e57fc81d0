"""PanEcho: what its pictures and positions are, and its file with a layer for each task."""
from pathlib import Path

import jax
import numpy as np
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert
from vft.models import make, panecho

SHAPES = {name: tuple(shape) for name, shape in check.read(Path(check.__file__).parent / "panecho.npz")[0]["shapes"]}


def test_a_picture_of_a_grey_clip_is_three_frames_in_a_row_and_the_clip_is_passed_three_times():
  frames = np.arange(5.0).reshape(1, 5, 1, 1, 1).repeat(3, axis=-1)
  got = np.asarray(panecho.pictures(frames)).reshape(5, 3)
  np.testing.assert_array_equal(got, [[0, 1, 2], [3, 4, 0], [1, 2, 3], [4, 0, 1], [2, 3, 4]])


def test_pictures_of_colours_take_the_first_channel_of_all_frames_first():
  video = np.arange(2 * 4 * 3).reshape(2, 4, 1, 1, 3)  # 3 t + c in the first clip
  got = np.asarray(panecho.pictures(video)).reshape(2, 4, 3)
  np.testing.assert_array_equal(got[0], [[0, 3, 6], [9, 1, 4], [7, 10, 2], [5, 8, 11]])
  np.testing.assert_array_equal(got[1], got[0] + 12)


def test_positions_have_a_cosine_beside_each_sine_at_any_length():
  for length in (1, 7):
    angles = np.arange(length)[:, None] / 10000.0 ** (np.arange(0, 8, 2) / 8)
    want = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(length, 8)
    np.testing.assert_allclose(panecho.positions(length, 8), want, atol=1e-6)


def test_layers_of_the_published_tasks_load_into_tasks_of_their_names(tmp_path):
  shapes = {f"weights/{name}": shape for name, shape in SHAPES.items() if not name.startswith("label_head")}
  for task, classes in (("EF", 1), ("AVStenosis", 3), ("RADimensionM-L(cm)", 1)):
    shapes |= {f"weights/{task}_head.1.weight": (classes, 32), f"weights/{task}_head.1.bias": (classes,)}
  arrays = weights.make_weights(shapes, 0)
  save_file(arrays, tmp_path / "panecho.safetensors")
  model = make("panecho", variant="tiny", tasks={"AVStenosis": 3, "EF": 1}, head="original")
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 6, 32, 32, 3), np.float32))  # not 4 frames
  loaded, report = convert.load({"batch_stats": {}, **empty}, str(tmp_path / "panecho.safetensors"), model=model)
  assert not report.resized and not report.left_at_init
  assert {name for name, _ in report.unused} == {f"head/RADimensionM-L(cm)/{part}" for part in ("kernel", "bias")}
  np.testing.assert_array_equal(loaded["params"]["head"]["AVStenosis"]["kernel"],
                                arrays["weights/AVStenosis_head.1.weight"].T)
