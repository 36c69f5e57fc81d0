"""What a family's RULES are made of: (pattern of the whole foreign name, our name or names, transform).

The first rule whose pattern matches decides. Our name may use the groups of the pattern (r"block_\1/kernel"); several
names go with a transform that returns as many arrays, None for one that the file does not have; no name, (), drops an
array that is known and not needed.

Tables are read backwards too, to write the original's names: the first rule that gives a name writes it, with the first
of alternatives, what is optional (`?`) once, and what is repeated (`*`) not at all.
"""
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vft.errors import WeightsError

Rule = tuple[str, str | tuple[str, ...], Callable[[np.ndarray], Any]]
Named = list[tuple[str, tuple[int, ...]]]
NUMBERED = r"(?:(?<=block_)|(?<=layer\d_))"  # a name gets two digits here, block_03: depth order is lexical
TOKENS = re.compile(r"\(\?:|\[[^]]+\]|\\.|.", re.DOTALL)  # of a pattern
BACK: dict[Callable[[np.ndarray], Any], Callable[[Any], Any]] = {}  # a transform's inverse, where it has one


def undone_by(back: Callable[[Any], Any]) -> Callable[[Callable[[np.ndarray], Any]], Any]:
  """Decorates a transform. `back` takes what it returns, with None for an array there is not, or returns None."""
  def note(transform: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    BACK[transform] = back
    return transform
  return note


@undone_by(lambda array: array)
def same(array: np.ndarray) -> np.ndarray:
  """As it is: biases, norms, and kernels of Keras and flax."""
  return array


@undone_by(lambda array: np.moveaxis(array, (-1, -2), (0, 1)))
def torch_kernel(array: np.ndarray) -> np.ndarray:
  """A torch kernel (O, I, ...) of a dense layer or a convolution of any dimension -> (..., I, O)."""
  return np.moveaxis(array, (0, 1), (-1, -2))


@undone_by(lambda array: array.T[..., None, None, None])
def torch_pointwise(array: np.ndarray) -> np.ndarray:
  """A torch kernel (O, I, 1, 1, 1) -> (I, O) of a dense layer."""
  return array.reshape(array.shape[:2]).T


@undone_by(lambda parts: np.concatenate([part.T for part in parts]))
def split_kernel(array: np.ndarray) -> list[np.ndarray]:
  """A torch kernel (3 D, D) of query, key and value in one -> three of (D, D)."""
  return [part.T for part in np.split(array, 3)]


@undone_by(np.concatenate)
def split_bias(array: np.ndarray) -> list[np.ndarray]:
  """(3 D,) -> three of (D,)."""
  return np.split(array, 3)


def torch_layer(theirs: str, ours: str) -> tuple[Rule, Rule]:
  """Rules for the weight and bias of a torch dense layer or convolution, named up to the last dot."""
  return (theirs + r"\.weight", ours + "/kernel", torch_kernel), (theirs + r"\.bias", ours + "/bias", same)


def torch_norm(theirs: str, ours: str) -> tuple[Rule, Rule]:
  """Likewise of a LayerNorm."""
  return (theirs + r"\.weight", ours + "/scale", same), (theirs + r"\.bias", ours + "/bias", same)


def torch_batch_norm(theirs: str, ours: str) -> tuple[Rule, ...]:
  """Likewise of a BatchNorm; how many batches it saw is dropped."""
  pairs = ("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var")
  return ((theirs + r"\.num_batches_tracked", (), same),
          *((rf"{theirs}\.{name}", f"{ours}/{our}", same) for name, our in pairs))


def apply(arrays: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> tuple[dict[str, np.ndarray], Named]:
  """Renames and reshapes; also returns name and shape of what no rule knows. Raises WeightsError for a bad shape."""
  out: dict[str, np.ndarray] = {}
  unknown: Named = []
  compiled = [(re.compile(pattern), names, transform) for pattern, names, transform in rules]
  for foreign, array in arrays.items():
    found = next(((m, names, change) for pattern, names, change in compiled if (m := pattern.fullmatch(foreign))), None)
    if found is None:
      unknown.append((foreign, array.shape))
      continue
    match, names, transform = found
    if not names:
      continue
    try:
      values = transform(array)
    except (ValueError, IndexError) as e:
      raise WeightsError(f"{foreign} has the shape {array.shape}, which its rule cannot convert: {e}.") from e
    pairs = [(names, values)] if isinstance(names, str) else zip(names, values, strict=True)
    for name, value in pairs:
      if value is None:
        continue
      ours = re.sub(NUMBERED + r"\d(?=/)", r"0\g<0>", match.expand(name))
      out[ours] = np.ascontiguousarray(value, np.float32)
  return out, unknown


def write(arrays: Mapping[str, np.ndarray], rules: Sequence[Rule]) -> tuple[dict[str, np.ndarray], list[str]]:
  """The way back from `apply`: our arrays under the names of the original, and ours that no rule writes."""
  left = {re.sub(NUMBERED + r"0(?=\d/)", "", name): array for name, array in arrays.items()}
  ours, out = dict(zip(left, arrays, strict=True)), {}
  for pattern, names, transform in (rule for rule in rules if rule[1] and rule[2] in BACK):
    templates = (names,) if isinstance(names, str) else names
    for groups in _groups(left, templates):
      theirs = _spell(pattern, groups)
      match = re.fullmatch(pattern, theirs)
      wanted = [match.expand(template) for template in templates] if match else []
      values = [left.get(name) for name in wanted]
      if all(value is None for value in values):
        continue
      value = BACK[transform](values[0] if isinstance(names, str) else values)
      if value is not None:
        out[theirs] = np.ascontiguousarray(value, np.float32)
        left = {name: array for name, array in left.items() if name not in wanted}
  return out, [ours[name] for name in left]


def _groups(names: Mapping[str, Any], templates: Sequence[str]) -> list[dict[int, str]]:
  """What the groups of a pattern must hold for one of the templates to give one of the names."""
  found = []
  for template in templates:
    ours = re.compile(re.sub(r"\\(\d)", r"(?P<g\1>[^/]*?)", template))
    for match in filter(None, map(ours.fullmatch, names)):
      groups = {int(key[1:]): value for key, value in match.groupdict().items()}
      if groups not in found:
        found.append(groups)
  return found


def _spell(pattern: str, groups: Mapping[int, str]) -> str:
  """A text that the pattern matches, with these groups; whoever asks must try whether it does, as `write` does.

  What tables are made of is known: groups of both kinds, alternatives, classes of characters, and ?, * and +.
  """
  parts, numbers = iter(TOKENS.findall(pattern)), itertools.count(1)

  def inside() -> str:
    """The first of the alternatives up to the next closing bracket, which is the end of this group."""
    alternatives: list[list[str]] = [[]]
    for part in parts:
      match part[0]:
        case ")":
          break
        case "|":
          alternatives.append([])
        case "*":
          alternatives[-1][-1] = ""
        case "(":
          number = next(numbers) if part == "(" else 0
          text = inside()
          alternatives[-1].append(groups.get(number, text))
        case "?" | "+":
          pass
        case "[" | "\\":
          alternatives[-1].append(part[1])
        case _:
          alternatives[-1].append(part)
    return "".join(alternatives[0])
  return inside()
