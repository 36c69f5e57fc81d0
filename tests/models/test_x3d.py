"""X3D: its published classifier, what becomes of a layer that has no bias there, and the blocks of L."""
import jax
import numpy as np

from vft import convert, trees
from vft.convert import rules
from vft.models import make

HIDDEN = ("head/hidden_00/kernel", "head/hidden_00/bias")


def flat(model):
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4, 32, 32, 3), np.float32))
  return {name: x.shape for tree in shapes.values() for name, x in trees.flatten(tree).items()}


def test_sizes_are_those_of_the_paper():
  sizes = {v: sum(np.prod(s) for n, s in flat(make("x3d", variant=v, head="original")).items()
                  if n.rsplit("/", 1)[-1] not in ("mean", "var")) for v in ("XS", "M", "L")}
  assert {v: round(n / 1e6, 2) for v, n in sizes.items()} == {"XS": 3.8, "M": 3.8, "L": 6.16}  # there 3.79, 6.15


def test_a_bias_that_stayed_0_is_not_written_and_one_that_moved_is_kept_under_our_name():
  rng = np.random.default_rng(0)
  arrays = {HIDDEN[0]: rng.normal(size=(6, 4)).astype(np.float32), HIDDEN[1]: np.zeros(4, np.float32)}
  theirs, left = convert.to_original("x3d", arrays)
  assert not left and {n: a.shape for n, a in theirs.items()} == {"blocks.5.pool.post_conv.weight": (4, 6, 1, 1, 1)}
  arrays[HIDDEN[1]] += 1
  theirs, left = convert.to_original("x3d", arrays)
  assert set(left) == set(HIDDEN) == set(theirs)


def test_names_of_the_deepest_network_are_those_of_its_file():
  model = make("x3d", variant="L", num_classes=2)
  ours = {name: np.zeros(shape[-1:], np.float32) for name, shape in flat(model).items() if not name.endswith("kernel")}
  theirs, left = convert.to_original("x3d", ours)
  assert not left and "blocks.3.res_blocks.24.branch2.norm_b.1.block.2.bias" in theirs
  again, unknown = rules.apply({f"model_state/{k}": x for k, x in theirs.items()}, convert.RULES["x3d"])
  assert not unknown and again.keys() == ours.keys()
