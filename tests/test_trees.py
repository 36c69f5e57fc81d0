import numpy as np
import pytest

from vft import trees
from vft.errors import ConfigError

NAMES = ("stem/kernel", "block_01/kernel", "block_01/bias", "head/kernel")


def test_unflatten_undoes_flatten_and_order_is_kept():
  tree = {"b": {"kernel": 1, "bias": {"x": 2}}, "a": 3}
  flat = trees.flatten(tree)
  assert list(flat.items()) == [("b/kernel", 1), ("b/bias/x", 2), ("a", 3)]
  assert trees.unflatten(flat) == tree


def test_a_pattern_matches_the_whole_name():
  assert trees.matches("head/kernel", ("stem/.*", "head/.*"))
  assert not trees.matches("head/kernel", ("head", "kernel", "ead/.*"))
  assert not trees.matches("head/kernel", ())


def test_the_first_matching_rule_wins():
  groups = trees.assign(NAMES, (("head/.*", "head"), (".*/bias", "bias"), (".*", "trunk")))
  assert groups == {"stem/kernel": "trunk", "block_01/kernel": "trunk", "block_01/bias": "bias", "head/kernel": "head"}


def test_a_parameter_without_a_rule_is_an_error_that_names_it():
  with pytest.raises(ConfigError, match=r"without a rule: \['stem/kernel', 'block_01/bias'\]"):
    trees.assign(NAMES, ((".*_01/kernel", "a"), ("head/.*", "b")))


def test_a_rule_that_decides_over_nothing_is_an_error_that_names_it():
  with pytest.raises(ConfigError, match=r"rules without a parameter: .*hed/\.\*"):
    trees.assign(NAMES, (("hed/.*", "head"), (".*", "trunk")))


def test_a_rule_behind_a_wider_one_is_idle_too():
  with pytest.raises(ConfigError, match=r"rules without a parameter: .*head/\.\*"):
    trees.assign(NAMES, ((".*", "trunk"), ("head/.*", "head")))


def test_split_divides_by_name_and_loses_nothing():
  flat: dict[str, int] = dict.fromkeys(NAMES, 0)
  chosen, rest = trees.split(flat, ("head/kernel", "not there"))
  assert chosen == {"head/kernel": 0} and {**rest, **chosen} == flat and "head/kernel" not in rest


def test_the_digest_is_of_names_shapes_types_and_values_not_of_order():
  flat = {"a": np.arange(6, dtype=np.float32), "b": np.zeros(2, np.int32)}
  others = ({**flat, "a": flat["a"].reshape(2, 3)}, {**flat, "b": flat["b"].astype(np.int64)}, 
            {**flat, "a": flat["a"] + 1}, {"a": flat["a"], "c": flat["b"]}, {"a": flat["a"]},
            {**flat, "b": flat["b"].view(np.float32)})
  digests = {trees.sha256(tree) for tree in (flat, *others)}
  assert len(digests) == 1 + len(others)
  assert trees.sha256(dict(reversed(flat.items()))) == trees.sha256(flat)
  assert trees.sha256({**flat, "a": np.asfortranarray(flat["a"].reshape(2, 3))}) == trees.sha256(others[0])
