"""Our own files: `vft weights convert` writes arrays under our names, and what they are."""
import argparse
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

import vft
from vft import convert, models, trees
from vft.convert import download, formats, registry, rules, surgery
from vft.errors import ConfigError, WeightsError, did_you_mean


def write(args: argparse.Namespace) -> None:
  """A file under our names, with what it is in its metadata and in OUT.json. Raises WeightsError, ConfigError."""
  out = new_file(args.out)
  path, entry = registry.find(args.source, cache=args.cache, offline=args.offline)
  file = formats.read(path)
  family = args.family or file.family or (entry.family if entry else "")
  if family not in models.FAMILIES:
    raise ConfigError(f"--family is {family!r}; known: {', '.join(models.FAMILIES)}"
                      f"{did_you_mean(family, models.FAMILIES)}. To see which one fits: vft weights show {args.source}")
  variant = args.variant if args.variant is not None else file.variant or (entry.variant if entry else "")
  arrays, unknown = rules.apply(file.arrays, convert.OWN if file.own else convert.RULES[family])
  model = models.make(family, variant=variant, head="original", num_classes=_classes(arrays, family))
  arrays = _fitting(args.source, arrays, model)
  statistics = entry or file
  labels = _read_labels(Path(args.labels)) if args.labels else file.labels or (entry.labels if entry else ())
  about = dict(family=family, variant=variant, labels=_checked_labels(labels, arrays),
               mean=args.mean or statistics.mean or model.mean, std=args.std or statistics.std or model.std,
               source=args.source if entry else path.name,
               sha256=download.digests(path)["sha256"] if path.is_file() else "",  # a folder of orbax has none
               licence=entry.licence if entry else str(file.about.get("licence", "not known")), vft=vft.__version__)
  save(out, arrays, about)
  dropped = [name for name, _ in unknown]
  print(f"{out}: {len(arrays)} arrays of {family} {variant}".rstrip() + f"; use --config.init.weights={out}")
  if dropped:
    print(f"left out, as no part of {family}: {', '.join(dropped[:10])}{' ...' if len(dropped) > 10 else ''}")


def _classes(arrays: Mapping[str, np.ndarray], family: str) -> int:
  """Classes of the file's classifier; 2, of a head that is then ignored, where there is none."""
  heads = [a.shape[-1] for name, a in arrays.items() if name == "head/label/kernel"]
  return heads[0] if heads else models.FAMILIES[family].classes or 2


def _fitting(source: str, arrays: dict[str, np.ndarray], model: Any) -> dict[str, np.ndarray]:
  """Those of the model. Raises WeightsError where the trunk is not whole."""
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 224, 224, 3), np.float32))
  want = {name: leaf.shape for tree in shapes.values() for name, leaf in trees.flatten(tree).items()}
  missing = [name for name in want if name not in arrays and not name.startswith("head/")]
  wrong = [f"{name}: file {a.shape}, model {want[name]}" for name, a in arrays.items()
           if name in want and a.shape != want[name] and surgery.fit(name, a, want[name]) is None]
  if missing or wrong:
    raise WeightsError(f"{source} is not the trunk of {model.family} {model.variant}".rstrip() + ".\n"
                       f"  in the model, not in the file ({len(missing)}): {missing[:10]}\n"
                       f"  of another shape ({len(wrong)}): {wrong[:10]}\n"
                       f"Choose --variant; known: {', '.join(repr(v) for v in model.variants)}")
  return {name: array for name, array in arrays.items() if name in want}


def _read_labels(path: Path) -> list[str]:
  try:
    return path.read_text(encoding="utf-8-sig").splitlines()  # with or without the mark that some editors set
  except (OSError, UnicodeDecodeError) as error:
    said = error.strerror if isinstance(error, OSError) else "not UTF-8"
    raise ConfigError(f"--labels={path}: {said}.\nExpected a text file, one class a line, in the order of the "
                      "classifier.") from None


def _checked_labels(labels: Sequence[str], arrays: Mapping[str, np.ndarray]) -> tuple[str, ...]:
  labels = tuple(label.strip() for label in labels if label.strip())
  classes = [a.shape[-1] for name, a in arrays.items() if name == "head/label/kernel"]
  if labels and classes and len(labels) != classes[0]:
    raise ConfigError(f"There are {len(labels)} labels; the classifier has {classes[0]} classes.")
  return labels


def new_file(out: str) -> Path:
  """The path, if a file of ours can be written there. Raises ConfigError."""
  path = Path(out)
  if path.suffix != ".safetensors" or path.exists():
    raise ConfigError(f"{path} exists already; choose another name." if path.exists() else
                      f"{path} does not end in .safetensors.")
  return path


def save(out: Path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
  """The arrays, with what they are in their metadata and in OUT.json; each file complete or absent."""
  new = {path: path.with_name(f".{path.name}.new{os.getpid()}") for path in (out.with_suffix(".json"), out)}
  try:
    out.parent.mkdir(parents=True, exist_ok=True)
    new[out.with_suffix(".json")].write_text(json.dumps(about, indent=1) + "\n")
    save_file(arrays, new[out], metadata={formats.OWN: json.dumps(about)})
    for path, written in new.items():
      written.replace(path)
  except OSError as error:
    raise WeightsError(f"{out} cannot be written: {error.strerror or error}.") from None
  finally:
    for written in new.values():
      written.unlink(missing_ok=True)
