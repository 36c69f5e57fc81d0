"""Foreign weights -> our names and shapes, in numpy: `load(variables, weights, model=...)`."""
import dataclasses
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from vft import trees
from vft.convert import formats, i3d, registry
from vft.errors import ConfigError, WeightsError, did_you_mean

RULES = {"i3d": i3d.RULES}
Named = list[tuple[str, tuple[int, ...]]]


@dataclasses.dataclass
class Report:
  """What happened to each array, as (name, shape); `sha256` is of the converted arrays of the trunk."""
  source: str
  sha256: str
  loaded: Named
  resized: Named
  left_at_init: Named
  unused: Named

  def __str__(self) -> str:
    lines = [f"weights {self.source}  sha256 {self.sha256[:16]}"]
    for kind in ("loaded", "resized", "left_at_init", "unused"):
      arrays = getattr(self, kind)
      size = sum(int(np.prod(shape)) for _, shape in arrays)
      some = [f"{name} {shape}" for name, shape in arrays[:3]] if kind != "loaded" else []
      lines.append(f"  {kind.replace('_', ' '):<13}{len(arrays):>4} arrays {size:>12,} values  {', '.join(some)}"
                   f"{' ...' if some and len(arrays) > 3 else ''}".rstrip())
    return "\n".join(lines)

  def to_json(self) -> dict[str, Any]:
    return dataclasses.asdict(self)


def load(variables: Mapping[str, Any], weights: str, *, model: Any,
         keep_init: Iterable[str] = ()) -> tuple[dict[str, Any], Report]:
  """Puts the arrays of a file in the place of those in `variables`.

  Args:
    variables: {"params": ..., "batch_stats": ...}; only shapes are read, so `jax.eval_shape` of init will do.
    weights: a registry name, or the path of a file in the layout of the model's family.
    model: the module; `model.family` names the rules.
    keep_init: patterns of whole names ("head/.*") that keep the value they have.

  Returns: the new variables (float32 numpy where loaded) and a Report.
  Raises: WeightsError where a name is not loaded or has another shape; ConfigError for an idle pattern.
  """
  path, entry = registry.find(str(weights))
  if entry and entry.family != model.family:
    raise WeightsError(f"{weights} is for the family {entry.family}, the model is {model.family}.")
  flat = {kind: trees.flatten(tree) for kind, tree in variables.items()}
  want = {name: (kind, tuple(leaf.shape)) for kind, tree in flat.items() for name, leaf in tree.items()}
  keep_init = tuple(keep_init)
  _check_patterns(keep_init, want)
  have, unused = _convert(formats.read_pickle(path), RULES[model.family])
  kept = [name for name in want if trees.matches(name, keep_init)]
  unused += [(name, array.shape) for name, array in have.items() if name in kept or name not in want]
  chosen = {name: array for name, array in have.items() if name in want and name not in kept}
  wrong = {name: array for name, array in chosen.items() if array.shape != want[name][1]}
  missing = [name for name in want if name not in chosen and name not in kept]
  if wrong or missing:
    raise WeightsError(_misfit(str(weights), {n: want[n][1] for n in want if n not in kept}, wrong, missing, unused))
  for name, array in chosen.items():
    flat[want[name][0]][name] = array
  report = Report(
      source=str(weights),
      sha256=trees.sha256({n: a for n, a in chosen.items() if not n.startswith("head/")}),
      loaded=[(n, a.shape) for n, a in chosen.items()], resized=[],
      left_at_init=[(n, want[n][1]) for n in kept], unused=unused)
  return {kind: trees.unflatten(tree) for kind, tree in flat.items()}, report


def _convert(arrays: Mapping[str, np.ndarray], rules) -> tuple[dict[str, np.ndarray], Named]:
  """Renames and reshapes by the first rule that matches; also returns what no rule knows."""
  out, unknown = {}, []
  for name, array in arrays.items():
    for pattern, ours, axes in rules:
      match = re.fullmatch(pattern, name)
      if match:
        extra, kept = array.shape[:-axes], array.shape[-axes:]
        array = array.reshape(kept) if all(size == 1 for size in extra) else array
        out[match.expand(ours)] = np.ascontiguousarray(array, np.float32)
        break
    else:
      unknown.append((name, array.shape))
  return out, unknown


def _check_patterns(keep_init: tuple[str, ...], names: Mapping[str, Any]):
  for pattern in keep_init:
    if not any(trees.matches(name, (pattern,)) for name in names):
      tops = sorted({name.split("/")[0] for name in names})
      raise ConfigError(f"init.keep_init has {pattern!r}, which matches no name. The names begin with: "
                        f"{', '.join(tops)}{did_you_mean(pattern.split('/')[0], tops)}")


def _misfit(weights: str, want: Mapping[str, tuple[int, ...]], wrong: Mapping[str, np.ndarray], missing: list[str],
            unused: Named) -> str:
  def some(items: list[str]) -> str:
    more = [f"... {len(items)} in all"] if len(items) > 10 else []
    return "".join(f"\n    {item}" for item in items[:10] + more)

  trunk = [name for name in want if not name.startswith("head/")]
  lost = {*wrong, *missing}
  share = 100 * sum(name not in lost for name in trunk) / len(trunk) if trunk else 100.0
  lines = [f"{weights} does not fit the model: {share:.1f} % of the trunk's {len(trunk)} arrays could be loaded."]
  if missing:
    lines.append(f"  in the model, not in the file:{some(missing)}")
  if wrong:
    lines.append("  of another shape:" + some([f"{n}: file {a.shape}, model {want[n]}" for n, a in wrong.items()]))
  if unused:
    lines.append(f"  in the file, not in the model:{some([f'{name} {shape}' for name, shape in unused])}")
  if any(name.startswith("head/") for name in lost):
    for name, array in wrong.items():
      if name.startswith("head/") and name.endswith("/bias"):
        lines.append(f"The checkpoint has {array.shape[-1]} classes, the config {want[name][-1]}.")
    lines.append("Add 'head/.*' to init.keep_init for a new head.")
  if any(not name.startswith("head/") for name in lost):
    lines.append("Add patterns to init.keep_init for those that are meant to stay at their first value, "
                 "or choose the variant that the file belongs to.")
  return "\n".join(lines)
