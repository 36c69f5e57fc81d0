"""A workdir at s3:// or the like: a folder here, brought up to date before a run, sent after each checkpoint.

Files go first, digests of checkpoints and the result last, removed files after them: whoever reads it at any moment,
on a machine that has never seen it, finds whole checkpoints. Where somebody else has written since this machine last
sent, what is there wins.
"""
from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from pathlib import Path

import filelock

from vft import owner, storage
from vft.errors import DataError, RunError

FOLDER = "~/.cache/vft/workdirs"
NOTE = ".mirror.json"  # {name: [size, mtime_ns, version there]} as last sent or received
PRIVATE = (NOTE, ".lock", ".owner", ".reading", owner.NAME)
LAST = ("sha256.json", "result.json")  # in this order
_places: dict[Path, str] = {}  # of this process
_owners: dict[Path, owner.Owner] = {}
Sent = dict[str, tuple[int, int, str]]


def place(workdir: str) -> Path:
  """The folder on this machine of a workdir: itself, or the mirror of a remote one."""
  if not storage.is_remote(workdir):
    return Path(workdir)
  url = workdir.rstrip("/")
  name = f"{url.rpartition('/')[2]}-{hashlib.sha256(url.encode()).hexdigest()[:8]}"
  folder = Path(FOLDER).expanduser().resolve() / name
  _places[folder] = url
  return folder


def is_mirror(folder: Path) -> bool:
  """Whether it is that of a remote workdir of this process."""
  return folder in _places


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
  """Nothing for a folder of this machine; a mirror is owned, brought up to date, and sent at the end.

  Raises RunError where another machine has it, or it cannot be sent.
  """
  url = _places.get(folder)
  if url is None:
    yield
    return
  own = owner.Owner(url)
  own.take()
  _owners[folder] = own
  try:
    receive(folder)
    try:
      yield
    except BaseException:  # what there is goes there, too, but the first fault is told
      send(folder)
      raise
    _send(folder, url)
  finally:
    own.release()
    del _owners[folder]


def fetched(workdir: str) -> Path:
  """The folder on this machine of a workdir that is only read, up to date. Raises RunError where there is none."""
  folder = place(workdir)
  if folder in _places:
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(filelock.Timeout), filelock.FileLock(folder / ".lock", timeout=0):  # else a run is at work
      receive(folder)
  return folder


def send(folder: Path) -> None:
  """Sends the mirror that `folder` is in, if it is in one; a fault is a warning: the next time all of it is sent."""
  root = next((p for p in (folder, *folder.parents) if p in _places), None)
  if root is None or root not in _owners:
    return
  try:
    _send(root, _places[root])
  except owner.Lost:
    raise
  except (RunError, OSError) as e:
    logging.warning("not sent, the run goes on and tries again after the next checkpoint: %s", e)


def receive(folder: Path) -> None:
  """Brings a mirror up to date."""
  url, sent = _places[folder], _load(folder)
  there = storage.find(url)
  there = {name: about for name, about in there.items() if not _private(name)}
  if {n: a.version for n, a in there.items()} == {n: version for n, (_, _, version) in sent.items()}:
    return  # nobody else has written; what is here may be newer
  for name in there:
    if ".." in name.split("/") or name.startswith("/"):
      raise DataError(f"{url} has a file {name!r}, which would leave the folder; remove it.")
  here = _files(folder)
  for name in here.keys() - there.keys():
    (folder / name).unlink()
  new: Sent = {}
  for name, about in there.items():
    size, changed = here.get(name, (-1, -1))
    if sent.get(name) != (size, changed, about.version):
      storage.fetch(storage.join(url, name), folder / name)
    stat = (folder / name).stat()
    new[name] = (stat.st_size, stat.st_mtime_ns, about.version)
  _save(folder, new)


def _send(folder: Path, url: str) -> None:
  if folder in _owners:
    _owners[folder].check()
  sent, here = _load(folder), _files(folder)
  changed = [name for name, about in here.items() if sent.get(name, ())[:2] != about]
  for name in sorted(changed, key=lambda n: (LAST.index(Path(n).name) + 1 if Path(n).name in LAST else 0, n)):
    with contextlib.suppress(FileNotFoundError):  # a checkpoint that is just being removed
      about = here[name]
      storage.send(folder / name, storage.join(url, name))
      there = storage.about(storage.join(url, name))
      sent[name] = (*about, there.version if there else "")
      _save(folder, sent)
  gone = sent.keys() - _files(folder).keys()
  storage.remove(storage.join(url, name) for name in sorted(gone, key=lambda n: Path(n).name not in LAST))
  _save(folder, {name: about for name, about in sent.items() if name not in gone})


def _files(folder: Path) -> dict[str, tuple[int, int]]:
  """{name: (size, mtime_ns)} of all but what is being written or belongs to this machine."""
  found = {}
  for path in sorted(folder.rglob("*")):
    name = path.relative_to(folder).as_posix()
    with contextlib.suppress(FileNotFoundError):
      if not _private(name) and path.is_file():
        found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
  return found


def _private(name: str) -> bool:
  parts = name.split("/")
  return parts[-1].endswith(".tmp") or any(part in PRIVATE or "orbax-checkpoint-tmp" in part for part in parts)


def _load(folder: Path) -> Sent:
  try:
    return {name: (size, changed, version)
            for name, (size, changed, version) in json.loads((folder / NOTE).read_text()).items()}
  except FileNotFoundError:
    return {}
  except ValueError:  # cut off: as if nothing had been sent
    return {}


def _save(folder: Path, sent: Sent) -> None:
  partial = folder / f"{NOTE}.tmp"
  partial.write_text(json.dumps(sent))
  partial.replace(folder / NOTE)
