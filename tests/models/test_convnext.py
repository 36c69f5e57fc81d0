"""ConvNeXt: as many parameters as torchvision 0.29.1 says (models/convnext.py, num_params)."""
import jax
import numpy as np
import pytest

from vft.models import make


@pytest.mark.long
@pytest.mark.parametrize("variant, count", [("T", 28589128), ("S", 50223688), ("B", 88591464), ("L", 197767336)])
def test_parameters_are_as_many_as_published(variant, count):
  model = make("convnext", variant=variant, head="original")
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 1, 32, 32, 3), np.float32))
  assert sum(x.size for x in jax.tree.leaves(shapes["params"])) == count
