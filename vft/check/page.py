"""check.html: one file without scripts or requests; whatever comes from the data set is escaped."""
from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from vft import pages
from vft.check.findings import NOTE, STOPS, Finding
from vft.data.inspection import Inspection
from vft.data.known_files import KnownFiles
from vft.data.manifest import Manifest
from vft.data.probing import cause

LISTED = 60  # items of a finding on the page
THUMBNAILS = 400  # pictures of classes on the page, 3 kB each
OF_CLASS = 8  # of them of one class in one split, at most
OF_FINDING = 24  # items of a finding with their pictures
BINS = 24
SPLITS = ("train", "val", "test")


class Bar(NamedTuple):
  """Of a histogram 100 wide and 40 high."""
  x: float
  width: float
  height: float
  number: int
  label: str


def render(result: dict[str, Any], found: Sequence[Finding], manifest: Manifest, files: dict[str, Inspection],
           known: KnownFiles) -> str:
  """The page as text."""
  def picture(path: str) -> str:
    data = known.thumbnail(files[path].key) if path in files and files[path].key else b""
    return f"data:image/jpeg;base64,{base64.b64encode(data).decode()}" if data else ""

  environment = pages.environment("vft.check")
  good = [f for f in files.values() if not f.reason]
  return environment.get_template("page.html").render(
      result=result, found=found, picture=picture, listed=LISTED, of_finding=OF_FINDING,
      stops=STOPS, note=NOTE, classes=_classes(manifest, files), task=manifest.tasks[0].name,
      causes=_causes(files.values()), histograms=[
          ("Length", "s", histogram([f.duration_s for f in good])),
          ("Frame rate", "Hz", histogram([f.fps for f in good])),
          ("Short side", "pixels", histogram([min(f.width, f.height) for f in good]))])


def _causes(files: Iterable[Inspection]) -> list[tuple[str, int]]:
  """(reason without its details, count), most frequent first."""
  names, counts = np.unique([cause(f.reason) for f in files if f.reason], return_counts=True)
  return sorted(zip(names.tolist(), counts.tolist(), strict=True), key=lambda c: -c[1])


def _classes(manifest: Manifest, files: dict[str, Inspection]) -> list[tuple[str, str, int, list[str]]]:
  """(split, class, count, some paths spread over it) of the first task; a number's clips are one class."""
  task = manifest.tasks[0]
  table = manifest.table[manifest.table.status == "ok"].drop_duplicates("path")
  table = table[[not files[p].reason for p in table.path] if len(table) else slice(0)]  # [] would name columns
  table = table.assign(shown=table[task.name] if task.kind != "regression" else f"{task.name}, all values")
  groups = {key: rows.path.tolist() for key, rows in table.groupby(["split", "shown"], sort=True)}
  each = max(1, min(OF_CLASS, THUMBNAILS // max(len(groups), 1)))
  out = [(str(split), str(name), len(paths), _spread(paths, each))
         for (split, name), paths in groups.items()]
  return sorted(out, key=lambda g: SPLITS.index(g[0]) if g[0] in SPLITS else 9)[:THUMBNAILS]


def _spread(paths: list[str], count: int) -> list[str]:
  return [paths[int(i)] for i in np.unique(np.linspace(0, len(paths) - 1, count).astype(int))]


def histogram(values: Sequence[float]) -> list[Bar]:
  """Bars over the whole range; one bar where all values are equal."""
  if not len(values):
    return []
  low, high = float(min(values)), float(max(values))
  bins = BINS if high > low + 1e-3 * max(abs(high), 1e-9) else 1
  counts, edges = np.histogram(values, bins, (low, high) if bins > 1 else (low, low + 1))
  width = 100 / bins
  return [Bar(i * width, width, 40 * float(n) / counts.max(), int(n),
              f"{edges[i]:.4g}" + (f" to {edges[i + 1]:.4g}" if bins > 1 else "")) for i, n in enumerate(counts)]
