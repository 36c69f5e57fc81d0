"""SlowFast: which frames each path sees, any number of them, and files of the deeper network."""
import jax
import numpy as np
import pytest

from vft import convert, trees
from vft.convert import rules
from vft.models import make
from vft.models.slowfast import onto_slow, slow_frames


def test_the_slow_path_sees_the_frames_that_the_authors_pack():
  assert slow_frames(32, 4).tolist() == [0, 4, 8, 13, 17, 22, 26, 31]
  assert slow_frames(32, 8).tolist() == [0, 10, 20, 31]
  assert slow_frames(3, 4).tolist() == [0] and slow_frames(9, 4).tolist() == [0, 4, 8]


def test_fast_frames_are_averaged_onto_the_slow_ones():
  frames = np.arange(10, dtype=np.float32).reshape(1, 10, 1, 1, 1)
  np.testing.assert_array_equal(onto_slow(frames, 4).ravel(), [1.5, 5.5, 8.5])  # of two frames, the last
  np.testing.assert_array_equal(onto_slow(frames[:, :2], 4).ravel(), [0.5])


@pytest.mark.parametrize("variant, size, grid", [
    ("", (32, 224, 256), (8, 7, 8)), ("R50/4x16", (32, 112, 112), (4, 4, 4)), ("tiny", (9, 33, 50), (3, 2, 2))])
def test_the_grid_is_that_of_the_slow_path(variant, size, grid):
  model, found = make("slowfast", variant=variant, num_classes=2), []
  def run(key):
    tokens, grid = model.init_with_output(key, np.zeros((1, *size, 3), np.float32), method="features")[0]
    found.append(grid)
    return tokens
  width = 8 * model.variants[variant].width * 4
  assert jax.eval_shape(run, jax.random.key(0)).shape == (1, np.prod(grid), width + width // 8)
  assert found == [grid]


def test_names_of_the_deeper_network_are_those_of_its_file():
  model = make("slowfast", variant="R101/8x8", num_classes=2)
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4, 32, 32, 3), np.float32))
  ours = {k: np.zeros(x.shape[-1:], np.float32) for tree in shapes.values() for k, x in trees.flatten(tree).items()
          if not k.endswith("kernel")}
  theirs, left = convert.to_original("slowfast", ours)
  assert not left and "blocks.3.multipathway_blocks.0.res_blocks.22.branch2.norm_a.running_var" in theirs
  again, unknown = rules.apply({f"model_state/{k}": x for k, x in theirs.items()}, convert.RULES["slowfast"])
  assert not unknown and again.keys() == ours.keys()
