"""vft weights list | show | fetch | verify | convert: published weights, and files of them."""
import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from vft import convert
from vft.convert import formats, registry, rules
from vft.convert.entries import Entry
from vft.errors import ConfigError, WeightsError, did_you_mean
from vft.weights import own


def add_parsers(commands: Any) -> None:
  """The commands of `vft weights` under argparse's `commands`."""
  shared = argparse.ArgumentParser(add_help=False)
  shared.add_argument("--cache", default="", help="folder of downloads; VFT_CACHE, or ~/.cache/vft/weights")
  shared.add_argument("--offline", action="store_true", help="download nothing (VFT_OFFLINE=1, HF_HUB_OFFLINE=1)")
  shared.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  weights = commands.add_parser("weights", help="published weights: list, show, fetch, verify, convert")
  kinds = weights.add_subparsers(dest="action", required=True)
  listed = kinds.add_parser("list", parents=[shared], help="the names that init.weights knows")
  listed.add_argument("--json", action="store_true")
  show = kinds.add_parser("show", parents=[shared], help="an entry, or the arrays of a file and our names for them")
  show.add_argument("weights", help="a name, or a file")
  show.add_argument("--family", default="", help="by whose rules; the one that knows most of the arrays")
  fetch = kinds.add_parser("fetch", parents=[shared], help="download into the cache folder, and check")
  fetch.add_argument("names", nargs="+", metavar="NAME", help="a name, a URL, or hf:OWNER/NAME/FILE")
  verify = kinds.add_parser("verify", parents=[shared], help="check the digests of what is on this machine")
  verify.add_argument("names", nargs="*", metavar="NAME")
  make = kinds.add_parser("convert", parents=[shared], help="write our names as safetensors, and what they are as JSON")
  make.add_argument("source", metavar="FILE", help="a file, a name, or the folder of a finished run")
  make.add_argument("out", metavar="OUT.safetensors")
  make.add_argument("--family", default="", help="needed for a file that does not say it")
  make.add_argument("--variant", default=None)
  make.add_argument("--labels", default="", help="a text file, one class a line, in the order of the classifier")
  make.add_argument("--mean", nargs=3, type=float, metavar=("R", "G", "B"), help="of the input's pixels in 0..1")
  make.add_argument("--std", nargs=3, type=float, metavar=("R", "G", "B"))


def run(args: argparse.Namespace) -> None:
  """Does what the arguments ask for. Raises WeightsError, ConfigError."""
  if args.action == "list":
    list_entries(args.cache, args.json)
  elif args.action == "show":
    show(args.weights, args.family, args.cache)
  elif args.action == "fetch":
    for name in args.names:
      path, entry = registry.find(name, cache=args.cache, offline=args.offline)
      print(f"{path}  sha256 {registry.check(entry, path, args.cache)}" if entry else path)
  elif args.action == "verify":
    verify(args.names, args.cache)
  else:
    own.write(args)


def _console() -> Console:
  width = None if sys.stdout.isatty() else 120
  return Console(width=width, soft_wrap=False, highlight=False)


def _row(entry: Entry, cache: str) -> dict[str, Any]:
  try:
    path = registry.local(entry, cache)
  except WeightsError:  # a package without its file
    path = None
  size = path.stat().st_size / 1e6 if path else entry.megabytes
  here = "installed" if path and entry.package else "cached" if path else ""
  return dict(name=entry.name, family=entry.family, variant=entry.variant, source=entry.source, licence=entry.licence,
              megabytes=round(size, 1), here=here, pin=entry.pin, path=str(path or ""))


def list_entries(cache: str, as_json: bool) -> None:
  """All entries, as a table or as JSON."""
  rows = [_row(entry, cache) for entry in registry.REGISTRY.values()]
  if as_json:
    print(json.dumps(rows, indent=1))
    return
  table = Table(box=None, pad_edge=False)
  for column, widest in (("name", 27), ("family", 17), ("variant", 11), ("source", 28), ("MB", 3), ("licence", 12),
                         ("here", 9)):
    table.add_column(column, no_wrap=True, max_width=widest)
  for r in rows:
    size = f"{r['megabytes']:.0f}" if r["megabytes"] else "?"
    table.add_row(r["name"], r["family"], r["variant"], r["source"], size, r["licence"].split(" (")[0].split(";")[0],
                  r["here"])
  _console().print(table)
  print("Use one as --config.init.weights=NAME; more of each: vft weights show NAME")


def show(weights: str, family: str, cache: str) -> None:
  """An entry, and the arrays of its file where that is on this machine; or those of a file. Downloads nothing."""
  entry = registry.get(weights) if not Path(weights).exists() or weights in registry.REGISTRY else None
  path = registry.local(entry, cache) if entry else Path(weights)
  if entry:
    about = dict(name=entry.name, family=entry.family, variant=entry.variant, source=entry.source,
                 address=registry.url_of(entry) or entry.page or entry.file, licence=entry.licence,
                 published=entry.published, pin=entry.pin, mean=entry.mean, std=entry.std,
                 labels=f"{len(entry.labels)}: {', '.join(entry.labels[:3])}, ..." if entry.labels else "not known",
                 file=path or f"not here: vft weights fetch {weights}")
    for key, value in about.items():
      print(f"{key:<10}{value or '-'}")
  elif path is None or not path.exists():
    raise WeightsError(f"{weights!r} is neither a file nor a known name; known: {', '.join(registry.REGISTRY)}"
                       f"{did_you_mean(weights, registry.REGISTRY)}")
  if path:
    _show_file(formats.read(path), family or (entry.family if entry else ""))


def _show_file(file: formats.File, family: str) -> None:
  if file.own:
    family = file.family
    print(f"own file   family {file.family}, variant {file.variant or '-'}, mean {file.mean}, std {file.std}, "
          f"{len(file.labels)} labels")
  known = {name: _ours(file.arrays, table) for name, table in convert.RULES.items() if name == (family or name)}
  if family and not known:
    raise ConfigError(f"--family is {family!r}; known: {', '.join(convert.RULES)}"
                      f"{did_you_mean(family, convert.RULES)}")
  best = max(known, key=lambda name: sum(ours is not None for ours in known[name].values()))
  found = _ours(file.arrays, convert.OWN) if file.own else known[best]
  count = sum(ours is not None for ours in found.values())
  total = sum(a.size for a in file.arrays.values())
  print(f"{file.kind}, {len(file.arrays)} arrays, {total:,} values; the rules of {best} know {count} of them")
  table = Table(box=None, pad_edge=False)
  for column in ("in the file", "shape", "ours", "shape"):
    table.add_column(column, overflow="fold")
  for name, array in file.arrays.items():
    ours = found[name]
    names = "?" if ours is None else "\n".join(ours) or "(not needed)"
    table.add_row(name, str(array.shape), names, "\n".join(str(shape) for shape in (ours or {}).values()))
  _console().print(table)


def _ours(arrays: Mapping[str, np.ndarray], table: Sequence[rules.Rule]) -> dict[str, dict[str, Any] | None]:
  """{foreign name: {our name: shape}}; None for a name that no rule knows."""
  out: dict[str, dict[str, Any] | None] = {}
  for name, array in arrays.items():
    try:
      found, unknown = rules.apply({name: array}, table)
      out[name] = None if unknown else {ours: value.shape for ours, value in found.items()}
    except WeightsError:  # another family's array under a name that this one has too
      out[name] = None
  return out


def verify(names: Sequence[str], cache: str) -> None:
  """Prints a line for each file that is here. Raises WeightsError where one has changed, or a named one is not here."""
  faults = []
  for name in names or registry.REGISTRY:
    entry = registry.get(name)
    if entry is None:
      raise WeightsError(f"{name!r} is no known name; known: {', '.join(registry.REGISTRY)}"
                         f"{did_you_mean(name, registry.REGISTRY)}")
    try:
      path = registry.local(entry, cache)
      if path is None and names:
        raise WeightsError(f"{name} is not on this machine: vft weights fetch {name}")
      if path:
        print(f"{name:<28} good  sha256 {registry.check(entry, path, cache)}  ({entry.pin[:30]})")
    except WeightsError as error:
      print(f"{name:<28} BAD")
      faults.append(str(error))
  if faults:
    raise WeightsError("\n".join(faults))
