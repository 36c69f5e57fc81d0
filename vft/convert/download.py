"""One file from a server: resumed where it was cut, checked before it gets its name, never half there."""
import contextlib
import hashlib
import os
import sys
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import filelock

from vft.convert import transfer
from vft.errors import WeightsError


def digests(path: Path) -> dict[str, str]:
  """{"sha256": ..., "md5": ...} of a file."""
  sums = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
  with path.open("rb") as file:
    while data := file.read(transfer.CHUNK):
      for each in sums:
        each.update(data)
  return {"sha256": sums[0].hexdigest(), "md5": sums[1].hexdigest()}


def fetch(url: str, path: Path, *, sha256: str = "", md5: str = "", token: str = "") -> dict[str, str]:
  """Puts the file of a URL at `path`, where another process may be doing the same.

  Args:
    url: http or https.
    path: where the file goes; its folder is made. Beside it lie NAME.part while it comes, and NAME.lock.
    sha256: of the file, or its first digits; md5: likewise in full; "" = whatever the server says it is.
    token: of the Hugging Face hub, sent to the host of the URL alone.

  Returns: the file's digests.
  Raises: WeightsError; the part that has come stays for the next try unless it is of another file.
  """
  if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
    raise WeightsError(f"{url} is no http or https address.")
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _lock(path):
      if path.exists():  # the other process has fetched it
        return digests(path)
      return _fetch(url, path, sha256, md5, token)
  except OSError as error:
    raise WeightsError(f"{path} cannot be written: {error.strerror or error}. Choose another folder by VFT_CACHE or "
                       "--cache.") from None


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
  lock = filelock.FileLock(f"{path}.lock")
  try:
    lock.acquire(timeout=0)
  except filelock.Timeout:
    print(f"vft: waiting for another process that downloads {path.name}", file=sys.stderr)
    lock.acquire()
  try:
    yield
  finally:
    lock.release()


def _fetch(url: str, path: Path, sha256: str, md5: str, token: str) -> dict[str, str]:
  part = path.with_name(f"{path.name}.part")
  for again in (False, True):
    resumed = part.exists() and part.stat().st_size > 0
    linked = transfer.receive(url, part, token)
    found = digests(part)
    wanted = {"sha256": sha256 or linked, "md5": md5}
    wrong = [k for k, want in wanted.items() if not found[k].startswith(want)]
    if not wrong:
      _flush(part)
      part.replace(path)
      transfer.about(part).unlink(missing_ok=True)
      return found
    transfer.drop(part)
    if not resumed or again:
      break
  kind = wrong[0]
  raise WeightsError(f"{url} is not the file that is expected; nothing was kept.\n  found:    {kind} {found[kind]}\n"
                     f"  expected: {kind} {wanted[kind]}{'...' if len(wanted[kind]) < len(found[kind]) else ''}\n"
                     "The server, or a proxy on the way, sends something else. Try again later, or put the right file "
                     f"at {path}")


def _flush(path: Path) -> None:
  with path.open("rb+") as file:
    os.fsync(file.fileno())
