"""What a report is made of: the files of a finished run, read once. The videos themselves need not be there."""
import csv
import dataclasses
import json
import os
from collections import Counter
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from ml_collections import ConfigDict

from vft import config as configs
from vft import evaluate, predict, tables
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences
from vft.data.probing import cause
from vft.data.sources import Source, open_source
from vft.data.sources.folder import FolderSource
from vft.errors import ConfigError, VftError
from vft.tasks import Task, from_json
from vft.writer import read_metrics


@dataclasses.dataclass(frozen=True)
class Folder:
  """A finished run, or the folds of one."""
  path: Path
  config: ConfigDict
  result: dict[str, Any]
  tasks: tuple[Task, ...]
  manifest: manifests.Manifest
  test: evaluate.Predictions
  has_source: bool  # whether the videos can be asked for

  @property
  def name(self) -> str:
    return self.path.resolve().name

  @property
  def settings(self) -> ConfigDict:
    """config.report; that of the defaults for runs from before there was one."""
    return self.config.report if "report" in self.config else configs.load("default").report

  @property
  def parts(self) -> list[Path]:
    """The folders with metrics.jsonl, params.txt and weights.json: this one, or those of the folds."""
    return [self.path / f"fold_{i + 1}" for i in range(self.result.get("folds", {}).get("count", 0))] or [self.path]

  @property
  def levels(self) -> list[str]:
    return [level for level in tables.LEVELS if self.result["test"].get(level)]

  @cached_property
  def calibrated(self) -> evaluate.Predictions | None:
    """Test predictions after calibration; of folds, each by its own."""
    found = [(predict.read_predictions(part / "predictions_test.csv", self.manifest), predict.load_calibration(part))
             for part in self.parts]
    if not all(entries for _, entries in found):
      return None
    return evaluate.together([evaluate.calibrated(p, entries) for p, entries in found])

  def prefix(self, task: Task) -> str:
    """What stands before a figure's name where there are several tasks."""
    return f"{task.name}/" if len(self.tasks) > 1 else ""

  def metrics(self, part: Path) -> list[dict[str, Any]]:
    """Lines of metrics.jsonl."""
    path = part / "metrics.jsonl"
    return read_metrics(path) if path.is_file() else []

  def read_json(self, name: str) -> dict[str, Any]:
    """A file of the run, of its first fold where only these have it; {} where there is none."""
    path = next((p / name for p in (self.path, *self.parts) if (p / name).is_file()), None)
    return json.loads(path.read_text()) if path else {}

  def skipped(self) -> list[tuple[str, int]]:
    """(cause, number of clips) of skipped.csv, most frequent first."""
    path = self.path / "skipped.csv"
    if not path.is_file():
      return []
    with path.open(encoding="utf-8", newline="") as file:
      return Counter(cause(row["reason"]) for row in csv.DictReader(file)).most_common()


def load(path: Path) -> Folder:
  """Raises ConfigError where `path` holds no finished run, DataError where its files were changed."""
  config = workdirs.load_config(path)
  if not (path / "result.json").is_file():
    raise ConfigError(f"{path} holds no finished run: it has no result.json.\nRun its command again to finish it.")
  result = json.loads((path / "result.json").read_text())
  wanted = from_json(result["data"]["tasks"])
  source = _source(config, wanted)
  plain = manifests.Manifest(manifests.read_table(path / "manifest.csv", wanted), wanted, result["data"]["grouped_by"],
                             source or cast(Source, FolderSource(os.sep, follow_links=True)))
  manifest = sequences.make(plain, config)
  test = predict.read_predictions(path / "predictions_test.csv", manifest)
  return Folder(path, config, result, wanted, manifest, test, source is not None)


def _source(config: ConfigDict, wanted: tuple[Task, ...]) -> Source | None:
  try:
    return open_source(config.data.source, config.data, tuple(t.column or t.name for t in wanted))
  except (VftError, OSError, ImportError):  # the data has gone elsewhere: all but the clips can be shown
    return None
