"""Files that are not on this machine: s3://, gs:// and whatever else fsspec knows; the only file that knows it.

Nothing of a list becomes a place by itself: `inside` joins names to a folder that the config gave. What is not there or
may not be read raises FileNotFoundError or PermissionError; whatever else fails, after the retries of its driver, is
a RunError, so that a network that is down never counts as a broken video.
"""
from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import posixpath
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from vft.errors import ConfigError, DataError, RunError, VftError

PLACE = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
LOCAL = ("file", "local")  # these would go round the checks of links
PACKAGES = {"s3": "vft[s3]", "s3a": "vft[s3]", "gs": "vft[gcs]", "gcs": "vft[gcs]"}
VERSIONS = ("ETag", "etag", "md5Hash", "generation", "mtime", "created", "LastModified")  # of drivers, the surest first


class About(NamedTuple):
  """Of a remote file. `version` is another one whenever its bytes are."""
  size: int
  version: str


def is_remote(path: object) -> bool:
  """Whether a path begins with a protocol, such as s3://."""
  return bool(PLACE.match(str(path)))


def join(folder: str, name: str) -> str:
  """`name` below a folder, remote or not."""
  return f"{folder.rstrip('/')}/{name}" if is_remote(folder) else str(Path(folder, name))


def parent(path: str) -> str:
  """The folder of a file, remote or not."""
  return path.rstrip("/").rpartition("/")[0] if is_remote(path) else str(Path(path).parent)


def inside(root: str, path: str) -> str:
  """The full name of `path`, which is relative to the remote folder `root`, or below it. Raises DataError outside."""
  name = path if is_remote(path) else join(root, path)
  plain, base = _plain(name), _plain(root)
  for said in (name, urllib.parse.unquote(name), urllib.parse.unquote(urllib.parse.unquote(name))):  # some drivers do
    if path.startswith("/") or "\0" in said or "::" in said or not _plain(said).startswith(f"{base}/"):
      raise DataError(f"{path!r} is outside config.data.root, {root!r}.\nExpected every video below that folder: move "
                      "it there, or name a folder above all of them with --config.data.root=FOLDER.")
  return plain


def _plain(name: str) -> str:
  """Without "..", "." and doubled slashes."""
  protocol, _, rest = name.partition("://")
  return f"{protocol.lower()}://{posixpath.normpath(rest.lstrip('/'))}"


def read(url: str, start: int = 0, end: int | None = None) -> bytes:
  """The bytes of a remote file from `start` up to `end`."""
  with _told(url):
    driver, path = _driver(url)
    return driver.cat_file(path, start=start, end=end)


def read_bytes(path: str) -> bytes:
  """All of a file, remote or not. Raises OSError where it cannot be read."""
  return read(path) if is_remote(path) else Path(path).read_bytes()


def about(url: str) -> About | None:
  """Of a remote file; None for a folder. Raises FileNotFoundError or PermissionError."""
  with _told(url):
    driver, path = _driver(url)
    found = driver.info(path)
    return _about(found) if found["type"] == "file" else None


def is_file(path: str) -> bool:
  """Whether there is such a file, remote or not."""
  if not is_remote(path):
    return Path(path).is_file()
  with contextlib.suppress(FileNotFoundError):
    return about(path) is not None
  return False


def find(folder: str) -> dict[str, About]:
  """All files below a remote folder by their names relative to it, sorted; {} where there is none."""
  with _told(folder):
    driver, path = _driver(folder)
    try:
      found = driver.find(path, detail=True)
    except FileNotFoundError:
      return {}
    base = path.rstrip("/") + "/"
    names = {name[len(base):]: detail for name, detail in found.items() if name.startswith(base)}
    return {name: _about(names[name]) for name in sorted(names) if name and names[name]["type"] == "file"}


def write(url: str, data: bytes) -> None:
  """Makes or replaces a remote file."""
  with _told(url), _into(url):
    driver, path = _driver(url)
    driver.pipe_file(path, data)


def fetch(url: str, path: Path) -> None:
  """Copies a remote file here, whole or not at all."""
  path.parent.mkdir(parents=True, exist_ok=True)
  partial = path.with_name(f"{path.name}.tmp")
  with _told(url):
    driver, name = _driver(url)
    driver.get_file(name, str(partial))
  partial.replace(path)


def send(path: Path, url: str) -> None:
  """Copies a file from here. Raises FileNotFoundError if it is not here."""
  path.stat()
  with _told(url), _into(url):
    driver, name = _driver(url)
    if url.partition("://")[0].lower() not in PACKAGES:  # those have no folders
      driver.makedirs(posixpath.dirname(name), exist_ok=True)
    driver.put_file(str(path), name)


def remove(urls: Iterable[str]) -> None:
  """Removes remote files; those that are gone already cost nothing."""
  for url in urls:
    with _told(url), contextlib.suppress(FileNotFoundError):
      driver, path = _driver(url)
      driver.rm_file(path)


def reason(error: OSError) -> str:
  """Why a file could not be read, in a few words."""
  return error.strerror or str(error) or type(error).__name__


def _about(detail: dict[str, Any]) -> About:
  said = json.dumps([detail["size"], next((str(detail[v]) for v in VERSIONS if detail.get(v)), "")])
  return About(int(detail["size"]), hashlib.sha256(said.encode()).hexdigest()[:16])


@functools.lru_cache(maxsize=32)
def _of_protocol(start: str) -> Any:
  import fsspec  # here: a run on local files needs none of it
  return fsspec.core.url_to_fs(start, use_listings_cache=False)[0]


def _driver(url: str) -> tuple[Any, str]:
  """fsspec's file system, and the name of the file in it."""
  protocol, _, rest = url.partition("://")
  if protocol.lower() in LOCAL or "::" in url:
    raise ConfigError(f"{url} is a place that vft does not open; expected a plain path for local files, or one "
                      "protocol, such as s3://bucket/folder.")
  driver = _of_protocol(f"{protocol}://{rest.partition('/')[0]}")
  return driver, driver._strip_protocol(url)


@contextlib.contextmanager
def _into(url: str) -> Iterator[None]:
  """What is not there when something is written is the bucket."""
  try:
    yield
  except FileNotFoundError as e:
    raise RunError(f"{url} cannot be written: {reason(e)}.\nMake the bucket first.") from None


@contextlib.contextmanager
def _told(url: str) -> Iterator[None]:
  """What goes wrong, as this module promises it."""
  protocol = url.partition("://")[0].lower()
  try:
    yield
  except (VftError, FileNotFoundError, PermissionError):
    raise
  except ImportError as e:
    raise ConfigError(f"{url}: no driver for {protocol}:// ({e}).\nType: pip install "
                      f"'{PACKAGES.get(protocol, 'the package that fsspec names for it')}'") from None
  except Exception as e:  # drivers raise what the libraries below them do
    if "Protocol not known" in str(e):
      raise ConfigError(f"{url}: the protocol {protocol}:// is not known; expected s3://, gs:// or another one of "
                        "fsspec.") from None
    said = " ".join(str(e).split())[:300]
    raise RunError(f"{url} cannot be reached ({type(e).__name__}: {said}).\nCheck the network and the credentials; the "
                   "same command goes on from here.") from e
