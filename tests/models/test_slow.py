"""Slow-only: the size of the network, and the names of its file."""
import jax
import numpy as np

from vft import convert, trees
from vft.convert import rules
from vft.models import make


def flat():
  model = make("slow", head="original")
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4, 32, 32, 3), np.float32))
  return {name: x.shape for tree in shapes.values() for name, x in trees.flatten(tree).items()}


def test_its_size_is_the_published_one():
  size = sum(np.prod(s) for name, s in flat().items() if name.rsplit("/", 1)[-1] not in ("mean", "var"))
  assert round(size / 1e6, 2) == 32.45  # docs/source/model_zoo.md


def test_names_are_those_of_its_file():
  ours = {name: np.zeros(shape[-1:], np.float32) for name, shape in flat().items() if not name.endswith("kernel")}
  theirs, left = convert.to_original("slow", ours)
  assert not left and "blocks.3.res_blocks.5.branch2.norm_a.running_var" in theirs and "blocks.5.proj.bias" in theirs
  again, unknown = rules.apply({f"model_state/{k}": x for k, x in theirs.items()}, convert.RULES["slow"])
  assert not unknown and again.keys() == ours.keys()
