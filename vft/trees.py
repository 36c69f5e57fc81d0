"""Parameters by name: a tree is read as {"mixed_5c/branch_0/conv/kernel": array}."""
import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flax import traverse_util

from vft.errors import ConfigError


def flatten(tree: Mapping[str, Any]) -> dict[str, Any]:
  """Nested dicts -> {"a/b/c": leaf}, in the order of the tree.

  >>> flatten({"head": {"label": {"kernel": 1, "bias": 2}}})
  {'head/label/kernel': 1, 'head/label/bias': 2}
  """
  return traverse_util.flatten_dict(tree, sep="/")


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
  """The inverse of `flatten`."""
  return traverse_util.unflatten_dict(dict(flat), sep="/")


def matches(name: str, patterns: Iterable[str]) -> bool:
  """Whether one of the patterns matches the whole name."""
  return any(re.fullmatch(p, name) for p in patterns)


def assign(names: Iterable[str], rules: Iterable[tuple[str, str]]) -> dict[str, str]:
  """{name: group} by the first rule whose pattern matches the whole name.

  Raises ConfigError when a name has no rule or a rule decides over no name.

  >>> assign(["mixed_5c/conv/kernel", "head/label/bias"], [("head/.*", "head"), (".*", "trunk")])
  {'mixed_5c/conv/kernel': 'trunk', 'head/label/bias': 'head'}
  """
  names, rules = list(names), list(rules)
  groups, used = {}, set()
  for name in names:
    for i, (pattern, group) in enumerate(rules):
      if re.fullmatch(pattern, name):
        groups[name] = group
        used.add(i)
        break
  left = [n for n in names if n not in groups]
  idle = [rules[i][0] for i in range(len(rules)) if i not in used]
  if left or idle:
    raise ConfigError("config.rules do not fit the parameters.\n"
        f"  parameters without a rule: {left[:10]}{' ...' if len(left) > 10 else ''}\n"
        f"  rules without a parameter: {idle}\n"
        f"  the parameters begin with: {sorted({n.split('/')[0] for n in names})}\n"
        "Every rule must decide over at least one parameter, and every parameter needs one; "
        'end with (".*", "trunk") to catch the rest.')
  return groups


def split(flat: Mapping[str, Any], chosen: Iterable[str]) -> tuple[dict[str, Any], dict[str, Any]]:
  """Two flat trees: the chosen names and the others."""
  chosen = set(chosen)
  return {k: v for k, v in flat.items() if k in chosen}, {k: v for k, v in flat.items() if k not in chosen}


def sha256(flat: Mapping[str, Any]) -> str:
  """Digest of names, shapes, types and values of a flat tree, in the order of its sorted names."""
  digest = hashlib.sha256()
  for name in sorted(flat):
    array = np.ascontiguousarray(flat[name])
    digest.update(f"{name}{array.shape}{array.dtype}".encode())
    digest.update(array.tobytes())
  return digest.hexdigest()
