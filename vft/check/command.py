"""vft check: looks at every file before a run does; says what is wrong and what it would cost. Deletes nothing."""
from __future__ import annotations

import contextlib
import csv
import json
import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft import config as configs
from vft import shards
from vft.check import findings, page, pooling, summary
from vft.check.looks import look
from vft.data import inspection
from vft.data import manifest as manifests
from vft.data.decoders import Decoders, cores
from vft.data.inspection import Inspection
from vft.data.known_files import KnownFiles
from vft.data.readers import FrameFolder
from vft.data.sources import Source
from vft.data.sources.layout import Layout
from vft.errors import DataError
from vft.writer import Writer

FULL_TIMES = 10  # how much longer decoding every frame may take
COLUMNS = ("path", "status", "reason", "sha256", "duration_s", "fps", "width", "height", "frames", "burned_in", "notes",
           "left", "top", "right", "bottom")  # of files.csv; the last four are black borders, shares of the frame


def check(config: ConfigDict, output: Path, *, full: bool = False, against: Path | None = None,
          shard: shards.Shard | None = None) -> dict[str, Any]:
  """Decodes the files of config.data.source, writes what was found to `output` and returns what check.json holds.

  Args:
    full: every frame, not only first, last and some between.
    against: a manifest.csv whose sha256 the files must still have; one in `output` is only compared with.
    shard: only this share of the files; the last one to finish writes the page, the others raise shards.Waiting.
  Raises DataError, after all is written, for what would stop a run: a leak between splits, too many bad files.
  """
  start, known, problems, files = time.monotonic(), KnownFiles(), [], {}
  pool, work = contextlib.ExitStack(), [configs.to_json(config), full]
  output.mkdir(parents=True, exist_ok=True)
  before = _digests(against or output / "manifest.csv", must_be_there=against is not None)
  decoded = 0

  def inspect(source: Source, paths: list[str], reading: dict[str, Any]) -> dict[str, Inspection]:
    nonlocal decoded
    if shard:
      found, decoded = pooling.pooled(output, shard, [*work, _sizes(source, paths)], paths, known, pool,
                                      partial(look_at, source, reading))
      files.clear()  # of this share
      files.update(found)
    else:
      look_at(source, reading, paths, output, known)
    return files

  def look_at(source: Source, reading: dict[str, Any], paths: list[str], place: Path,
              known: KnownFiles) -> tuple[dict[str, Inspection], int]:
    nonlocal decoded
    depth, times = (inspection.DECODED, FULL_TIMES) if full else (inspection.LOOKED, 1)
    decoders = Decoders(source, partial(look, full=full, reading=reading), workers=cores(), depth=depth,
                        limit_s=times * config.data.decode_timeout_s)

    def tick(done: int, new: bool) -> None:
      nonlocal decoded
      decoded += new
      writer.status("Checking", done / (time.monotonic() - start), done, len(paths))

    try:
      with Writer(place, tensorboard=False, progress=config.log.progress) as writer:
        files.update(inspection.inspect_all(
            source, paths, reading, look=decoders, known=known, limit_s=decoders.limit_s, tick=tick,
            depth=depth, threads=cores() + 2))
    finally:
      decoders.close()
    return files, decoded

  try:
    manifest = manifests.make_manifest(config, inspect=inspect, problems=problems)
    known.flush()
    changed = [p for p, f in files.items() if before.get(p, f.sha256) != f.sha256]
    found = findings.find(manifest, files, config, changed)
    result = {"source": config.data.source, "simulated": manifest.source.simulated, "grouped_by": manifest.grouped_by,
              "files": len(files), "usable": sum(not f.reason for f in files.values()), "decoded_now": decoded,
              "every_frame": full, "seconds": round(time.monotonic() - start, 1), "counts": findings.counts(manifest),
              "stops_a_run": [str(p) for p in problems], "warnings": list(manifest.warnings),
              "findings": [f.to_json() for f in found]}
    manifest.save(output / "manifest.csv")
    _write(output / "files.csv", lambda path: _write_files(path, files))
    _write(output / "check.json", lambda path: path.write_text(json.dumps(result, indent=1) + "\n"))
    html = page.render(result, found, manifest, files, known)
    _write(output / "check.html", lambda path: path.write_text(html, encoding="utf-8"))
  finally:
    known.close()
    pool.close()
  summary.print_summary(result, found, output)
  if changed and against:
    problems.append(DataError(f"{len(changed)} files are not those of {against}, the first of them {changed[0]!r}: "
                              "their sha256 differs.\nExpected the same bytes: find out who changed them."))
  if problems:
    raise DataError("\n".join(str(p) for p in problems) + f"\nAll that was found: {output / 'check.html'}")
  return result


def _sizes(source: Source, paths: list[str]) -> list[int]:
  """Bytes of each file of a layout; none of other sources, whose files do not change."""
  if not isinstance(source, Layout):
    return []
  names = []
  for path in paths:
    content: Any = ""
    with contextlib.suppress(DataError):  # what is wrong with it is told when it is looked at
      content = source.read(path)
    names.append(content.path if isinstance(content, FrameFolder) else content)
  return shards.sizes(names)


def _digests(path: Path, must_be_there: bool) -> dict[str, str]:
  """{path: sha256} of a manifest."""
  try:
    with path.open(encoding="utf-8", newline="") as file:
      return {row["path"]: row["sha256"] for row in csv.DictReader(file) if row["sha256"]}
  except (OSError, KeyError, ValueError, csv.Error) as e:
    if must_be_there:
      raise DataError(f"{path} is no manifest ({e}); expected the manifest.csv of a run or a check.") from None
    if path.exists():
      logging.warning("%s is no manifest and will be written anew.", path)
    return {}


def _write(path: Path, write: Callable[[Path], Any]) -> None:
  """All of it or nothing."""
  partial = path.with_name(f"{path.name}.tmp")
  write(partial)
  partial.replace(path)


def _write_files(path: Path, files: dict[str, Inspection]) -> None:
  with path.open("w", encoding="utf-8", newline="") as out:
    table = csv.writer(out, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, f in files.items():
      table.writerow([name, "skipped" if f.reason else "ok", f.reason, f.sha256, f.duration_s, f"{f.fps:.6g}", f.width,
                      f.height, f.frames or "", f.burned_in, "|".join(f.notes), *f.borders])
