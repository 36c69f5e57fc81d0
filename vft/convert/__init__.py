"""Foreign weights -> our names and shapes, in numpy: `load(variables, weights, model=...)`."""
import dataclasses
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from vft import trees
from vft.convert import (
  convnext,
  efficientnet_lite,
  formats,
  i3d,
  mvit,
  panecho,
  registry,
  resnet,
  rules,
  s3d,
  slow,
  slowfast,
  surgery,
  swin,
  timesformer,
  vgg16,
  video_resnet,
  videomae,
  videoprism,
  vit,
  vivit,
  vivit_fe,
  vjepa2,
  x3d,
)
from vft.convert.rules import Named, Rule
from vft.errors import ConfigError, WeightsError, did_you_mean

RULES: dict[str, tuple[Rule, ...]] = {
    "efficientnet_lite": efficientnet_lite.RULES,
    "i3d": i3d.RULES,
    "videomae": videomae.RULES,
    "video_resnet": video_resnet.RULES,
    "vit": vit.RULES,
    "resnet": resnet.RULES,
    "vgg16": vgg16.RULES,
    "timesformer": timesformer.RULES,
    "vivit": vivit.RULES,
    "vivit_fe": vivit_fe.RULES,
    "videoprism": videoprism.RULES,
    "mvit": mvit.RULES,
    "swin": swin.RULES,
    "vjepa2": vjepa2.RULES,
    "slow": slow.RULES,
    "slowfast": slowfast.RULES,
    "x3d": x3d.RULES,
    "convnext": convnext.RULES,
    "panecho": panecho.RULES,
    "s3d": s3d.RULES,
}
WRITTEN: dict[str, Callable[[Collection[str]], tuple[Rule, ...]]] = {  # of several originals, that of these names
    "vit": vit.written, "video_resnet": video_resnet.written, "vgg16": lambda _: vgg16.TORCHVISION}
KEPT = (r"head/.+", r"\g<0>", rules.same)  # parts of a head that no original has, as `to_original` leaves them
OWN = ((r".*", r"\g<0>", rules.same),)  # files of `vft weights convert`


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


def load(variables: Mapping[str, Any], weights: str, *, model: Any, keep_init: Iterable[str] = (), layout: str = "",
         inflate: str = "centre", classes: tuple[str, ...] = ()) -> tuple[dict[str, Any], Report]:
  """Puts the arrays of a file in the place of those in `variables`.

  Args:
    variables: {"params": ..., "batch_stats": ...}; only shapes are read, so `jax.eval_shape` of init will do.
    weights: a registry name, or the path of a file in the layout of the model's family.
    model: the module; `model.family` names the rules.
    keep_init: patterns of whole names ("head/.*") that keep the value they have.
    layout: the family that the file is of, where it is not the model's; both must name their blocks alike.
    inflate: centre | average, how a 2-D kernel becomes a 3-D one.
    classes: names of the classes; those that the file's labels have too start at the published classifier's columns.

  Returns: the new variables (float32 numpy where loaded) and a Report.
  Raises: WeightsError where a name is not loaded or has another shape; ConfigError for an idle pattern.
  """
  path, entry = registry.find(str(weights))
  file = formats.read(path)
  family = layout or model.family
  if not file.own and family not in RULES:
    raise ConfigError(f"init.layout is {family!r}; known: {', '.join(RULES)}{did_you_mean(family, RULES)}")
  stated = file.family or (entry.family if entry else "")
  if stated and stated != family:
    raise WeightsError(f"{weights} is for the family {stated}, the model is {family}. If the two name their blocks "
                       f"alike, write --config.init.layout={stated}.")
  flat = {kind: trees.flatten(tree) for kind, tree in variables.items()}
  want = {name: (kind, tuple(leaf.shape)) for kind, tree in flat.items() for name, leaf in tree.items()}
  keep_init = tuple(keep_init)
  _check_patterns(keep_init, want)
  have, unused = rules.apply(file.arrays, OWN if file.own else (*RULES[family], KEPT))
  mapped = _map_head(have, flat["params"], file.labels or (entry.labels if entry else ()), classes) if classes else {}
  # The mapped columns mean something only behind what the published classifier has before them, such as a norm.
  whole = {*mapped, *(name for name in have if mapped and name.startswith("head/"))}
  kept = [name for name in want if trees.matches(name, keep_init) and name not in whole]
  unused += [(name, array.shape) for name, array in have.items() if name in kept or name not in want]
  chosen = {name: array for name, array in {**have, **mapped}.items() if name in want and name not in kept}
  resized = []
  for name, array in chosen.items():
    if array.shape != want[name][1]:
      fitted = surgery.fit(name, array, want[name][1], inflate)
      if fitted is not None:
        resized.append((name, array.shape))
        chosen[name] = fitted
  wrong = {name: array for name, array in chosen.items() if array.shape != want[name][1]}
  missing = [name for name in want if name not in chosen and name not in kept]
  if wrong or missing:
    raise WeightsError(_misfit(str(weights), {n: want[n][1] for n in want if n not in kept}, wrong, missing, unused))
  for name, array in chosen.items():
    flat[want[name][0]][name] = array
  done = {*dict(resized), *mapped}
  report = Report(
      source=str(weights),
      sha256=trees.sha256({n: a for n, a in chosen.items() if not n.startswith("head/")}),
      loaded=[(n, a.shape) for n, a in chosen.items() if n not in done],
      resized=resized + [(n, have[n].shape) for n in mapped],
      left_at_init=[(n, want[n][1]) for n in kept], unused=unused)
  return {kind: trees.unflatten(tree) for kind, tree in flat.items()}, report


def to_original(family: str, arrays: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
  """All arrays of a model as its original names and shapes them, and which no original has.

  These, parts of another head, keep our names. `load` takes such a file. Raises WeightsError where others are left.
  """
  out, left = rules.write(arrays, WRITTEN[family](arrays) if family in WRITTEN else RULES[family])
  lost = [name for name in left if not re.fullmatch(KEPT[0], name)]
  if lost:
    raise WeightsError(f"{len(lost)} arrays have no name in the original of {family}: {', '.join(lost[:10])}.\n"
                       "Export the run under vft's own names: --format=vft")
  return {**out, **{name: arrays[name] for name in left}}, left


def _map_head(have: Mapping[str, np.ndarray], params: Mapping[str, Any], labels: tuple[str, ...],
              classes: tuple[str, ...]) -> dict[str, np.ndarray]:
  """The classifier "head/label" with the columns of the labels that are also ours."""
  names = [name for name in ("head/label/kernel", "head/label/bias") if name in have]
  if not names or not labels:
    raise WeightsError("config.init.map_labels asks for the classifier of the weights by its labels, but "
                       f"{'the labels are not known' if names else 'the file has no classifier'}.\nGive them with "
                       "vft weights convert FILE OUT --labels=labels.txt, or use --config.init.map_labels=False.")
  if len(labels) != have[names[0]].shape[-1]:
    raise WeightsError(f"The classifier has {have[names[0]].shape[-1]} classes, its labels are {len(labels)}.")
  out, found = {}, []
  for name in names:
    out[name], found = surgery.map_labels(have[name], np.asarray(params[name]), labels, classes)
  if not found:
    raise WeightsError(f"config.init.map_labels: none of the classes {list(classes[:10])} is a label of the "
                       f"weights, such as {list(labels[:5])}. Use --config.init.map_labels=False.")
  return out


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
