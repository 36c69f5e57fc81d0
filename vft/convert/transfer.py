"""The bytes of a URL into NAME.part, over as many requests as it takes; NAME.part.json says of which file they are."""
import http.client
import json
import re
import shutil
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from vft.errors import WeightsError

TRIES = 5  # in a row without a new byte
WAIT_S = 1.0  # before the second try; doubled each time
TIMEOUT_S = 30.0  # of a connection, and of a read
SPARE_BYTES = 2**26  # left free on the disk
CHUNK = 2**20


class _Changed(Exception):
  """What is on the disk is not the beginning of what the server has now."""


class _Redirects(urllib.request.HTTPRedirectHandler):
  """Keeps a token from other hosts, allows no way back from https, and notes the hub's digest of the file."""

  def __init__(self):
    self.linked = ""

  def redirect_request(self, req, fp, code, msg, headers, newurl):
    """As in urllib, on the next request."""
    self.linked = headers.get("X-Linked-ETag", "") or self.linked
    old, new = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
    if new.scheme not in ("http", "https") or (old.scheme == "https" and new.scheme == "http"):
      fp.close()
      raise WeightsError(f"{req.full_url} leads to {newurl}, which is not followed.")
    request = super().redirect_request(req, fp, code, msg, headers, newurl)
    if request is not None and old.netloc != new.netloc:
      request.remove_header("Authorization")
    return request


def receive(url: str, part: Path, token: str) -> str:
  """Fills the part until it is whole; returns the hub's sha256 of it, or ""."""
  tries, wait, best = 0, WAIT_S, part.stat().st_size if part.exists() else 0
  with Progress(TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
                TimeRemainingColumn(), console=Console(stderr=True)) as progress:
    bar = progress.add_task(part.name.removesuffix(".part"), total=None)
    while True:
      try:
        return _once(url, part, token, lambda have, total: progress.update(bar, completed=have, total=total))
      except _Changed:
        drop(part)
        reason, pause = "the file changed on the server", 0.0
      except urllib.error.HTTPError as error:
        reason = f"HTTP {error.code} {error.reason}"
        error.close()
        if error.code < 500 and error.code not in (408, 425, 429):
          raise WeightsError(_refused(url, error.code, reason, part)) from None
        pause = wait
      except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError) as error:
        reason, pause = str(getattr(error, "reason", error)) or type(error).__name__, wait
      have = part.stat().st_size if part.exists() else 0
      tries, wait = (1, WAIT_S) if have > best else (tries + 1, 2 * wait)
      best = max(have, best)
      if tries >= TRIES:
        raise WeightsError(f"{url} could not be fetched: {reason} ({tries} tries; {have:,} bytes are kept in {part}).\n"
                           "The same command goes on from there. Or download it by hand and put it at "
                           f"{part.with_suffix('')}")
      time.sleep(pause)


def _once(url: str, part: Path, token: str, show: Any) -> str:
  """One request, from where the part ends. Raises what urllib raises, and ConnectionError for a cut one."""
  have = part.stat().st_size if part.exists() else 0
  known = _known(part)
  if have and (known.get("url") != url or not known.get("mark")):
    raise _Changed
  headers = {"User-Agent": "vft", "Accept-Encoding": "identity"}
  if token:
    headers["Authorization"] = f"Bearer {token}"
  if have:
    headers.update({"Range": f"bytes={have}-", "If-Range": known["mark"]})
  redirects = _Redirects()
  try:
    answer = urllib.request.build_opener(redirects).open(urllib.request.Request(url, headers=headers),  # noqa: S310
                                                         timeout=TIMEOUT_S)
  except urllib.error.HTTPError as error:
    if error.code == 416 and have:  # nothing is left to send, or the file is shorter now
      error.close()
      if have == known.get("total"):
        return str(known.get("linked", ""))
      raise _Changed from None
    raise
  with answer:
    total = _total(url, answer, have)
    have = have if answer.status == 206 else 0  # a server may ignore the range and send all
    if known.get("total") and answer.status == 206 and total != known["total"]:
      raise _Changed
    linked = re.sub(r'[W/"]', "", redirects.linked or answer.headers.get("X-Linked-ETag", "")).lower()
    linked = linked if re.fullmatch(r"[0-9a-f]{64}", linked) else ""
    _check_space(part, (total or 0) - have)
    mark = answer.headers.get("ETag", "") or answer.headers.get("Last-Modified", "")
    about(part).write_text(json.dumps({"url": url, "mark": "" if mark.startswith("W/") else mark, "total": total,
                                        "linked": linked}))
    with part.open("r+b" if have else "wb") as file:
      file.seek(have)
      file.truncate()
      while data := answer.read1(CHUNK):
        file.write(data)
        have += len(data)
        show(have, total)
  if total is not None and have < total:
    raise ConnectionError(f"cut after {have:,} of {total:,} bytes")
  return linked


def _total(url: str, answer: Any, have: int) -> int | None:
  """Bytes of the whole file, None where the server does not say."""
  if "text/html" in answer.headers.get("Content-Type", ""):
    raise WeightsError(f"{url} gives a web page, not a file: a login, or a proxy on the way. Open it in a browser.")
  if answer.status == 206:
    match = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if match is None or int(match[1]) != have:
      raise _Changed
    return int(match[2])
  length = answer.headers.get("Content-Length")
  return int(length) if length is not None and length.isdecimal() else None


def _check_space(part: Path, needed: int) -> None:
  free = shutil.disk_usage(part.parent).free
  if free < needed + SPARE_BYTES:
    raise WeightsError(f"{part.parent} has {free:,} bytes free, the download needs {needed + SPARE_BYTES:,}. "
                       "Make room, or choose another folder by VFT_CACHE or --cache.")


def _refused(url: str, code: int, reason: str, part: Path) -> str:
  lines = [f"{url} could not be fetched: {reason}."]
  if code in (401, 403):
    lines.append("It may ask for an agreement: open it in a browser, agree, and set HF_TOKEN to a token of yours.")
  lines.append(f"Or download it by hand and put it at {part.with_suffix('')}")
  return "\n".join(lines)


def _known(part: Path) -> dict[str, Any]:
  """What was noted of the part: url, mark (ETag), total bytes, the hub's sha256."""
  try:
    found = json.loads(about(part).read_text())
  except (OSError, ValueError):
    return {}
  return found if isinstance(found, dict) else {}


def about(part: Path) -> Path:
  return part.with_name(f"{part.name}.json")


def drop(part: Path) -> None:
  part.unlink(missing_ok=True)
  about(part).unlink(missing_ok=True)
