"""S3D: the published network's size, and clips of any length."""
import jax
import numpy as np
import pytest

from vft.models import make


def test_the_published_network_has_its_number_of_parameters():
  model = make("s3d", head="original")
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 14, 224, 224, 3), np.float32))
  assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == 8320048  # torchvision 0.29.1, models/video/s3d.py


@pytest.mark.parametrize("size, grid", [((128, 224, 224), (16, 7, 7)), ((14, 224, 224), (2, 7, 7)),
                                        ((20, 64, 72), (2, 2, 2)), ((2, 33, 40), (1, 1, 1))])
def test_the_last_pool_drops_an_odd_frame_and_a_short_clip_is_pooled_whole(size, grid):
  model, found = make("s3d", variant="tiny", num_classes=2), []
  def run(key):
    tokens, grid = model.init_with_output(key, np.zeros((1, *size, 3), np.float32), method="features")[0]
    found.append(grid)
    return tokens
  assert jax.eval_shape(run, jax.random.key(0)).shape == (1, np.prod(grid), 104)
  assert found == [grid]
