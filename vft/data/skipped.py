"""What was left out of a run, and what is in it: skipped.csv and the data part of result.json."""
import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import tasks
from vft.data import readers
from vft.data.guard import refused_rows
from vft.data.manifest import Manifest
from vft.errors import DataError


def write_skipped(manifest: Manifest, failed: Iterable[int], path: Path, config: ConfigDict) -> int:
  """Writes row, id, path, reason of the videos not used: those of the manifest and rows that `failed` to decode later.

  Returns their number. Raises DataError when they are more than config.data.max_bad_fraction of all.
  """
  table = manifest.table.copy()
  for row in {*failed, *refused_rows(manifest)}:
    table.loc[row, ["status", "reason"]] = ["skipped", reason(manifest, row, config)]
  bad = table[table.status == "skipped"]
  bad[["row", "id", "path", "reason"]].to_csv(path, index=False)
  if len(bad) > config.data.max_bad_fraction * len(table):
    lines = "\n".join(f"  {p!r}: {r}" for p, r in zip(bad.path[:10], bad.reason[:10], strict=True))
    raise DataError(f"{len(bad)} of {len(table)} clips cannot be used ({len(bad) / len(table):.1%}), more than "
                    f"data.max_bad_fraction, {config.data.max_bad_fraction:.1%}; all are in {path}.\n{lines}\n"
                    "Repair or remove them, or go on with "
                    f"--config.data.max_bad_fraction={len(bad) / len(table) + .01:.2f}.")
  return len(bad)


def watch(batches: Iterator[dict[str, Any]], failed: set[int]) -> Iterator[dict[str, Any]]:
  """The same batches; rows of clips that could not be decoded are added to `failed`."""
  with contextlib.closing(batches):  # pyright: ignore[reportArgumentType]
    for batch in batches:
      failed.update(batch["row"][(batch["row"] >= 0) & ~batch["mask"]].tolist())
      yield batch


class Skipped:
  """Keeps skipped.csv up to date with a growing set of failed rows; a run that goes on has those of its file."""

  def __init__(self, manifest: Manifest, failed: set[int], path: Path, config: ConfigDict):
    if path.is_file():
      table = manifest.table
      failed.update(table.row[(table.status == "ok") & table.row.isin(pd.read_csv(path).row)].tolist())
    self._args, self._failed, self._written, self.count = (manifest, path, config), failed, -1, 0

  def update(self) -> None:
    """Writes where something new has failed. Raises DataError as `write_skipped`."""
    if len(self._failed) != self._written:
      manifest, path, config = self._args
      self._written, self.count = len(self._failed), write_skipped(manifest, self._failed, path, config)


def reason(manifest: Manifest, row: int, config: ConfigDict) -> str:
  """Why a clip could not be decoded, by reading all of its span once more."""
  entry = manifest.table.iloc[row]
  times = np.arange(entry.start_s, entry.end_s, 1 / config.data.fps)
  try:
    readers.read_clip(manifest.source.read(entry.path), times, resize=config.data.resize,
                      **readers.options(config.data))
  except DataError as e:
    return " ".join(str(e).split())
  return "could be decoded at the second try"


def summary(manifest: Manifest, config: ConfigDict, skipped: int) -> dict[str, Any]:
  """The data part of result.json."""
  splits = [f"fold_{i + 1}" for i in range(config.data.folds)] or ["train", "val", "test"]
  return {"source": config.data.source, "simulated": manifest.source.simulated, "grouped_by": manifest.grouped_by,
          "unit": manifest.unit,
          "sha256": manifest.sha256, "tasks": tasks.to_json(manifest.tasks), "skipped": skipped,
          "unused": int((manifest.table.status == "unused").sum()),
          "clips": {s: len(manifest.rows(s)) for s in splits},
          "groups": {s: len(set(manifest.groups(manifest.rows(s)))) for s in splits}}
