"""What a finished run has kept: its predictions as CSV, its calibration, its best state."""
import dataclasses
import json
import os
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import config as configs
from vft import conformal, coverage, evaluate, sharding, startup, tasks
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences
from vft.data.sources import Source
from vft.data.sources.folder import FolderSource
from vft.errors import ConfigError


def write_predictions(path: Path, found: evaluate.Predictions, manifest: manifests.Manifest) -> None:
  """One line per video: id, path, group, the label of each task, then tasks.columns (the mean over views).

  Probabilities are as the model gives them, before calibration, with all digits of float32.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  names = [t.name for t in manifest.tasks]
  table = manifest.table.iloc[found.rows][["id", "path", "group", *names]].reset_index(drop=True)
  said = columns(manifest.tasks, found.outputs)
  pd.concat([table, pd.DataFrame(said)], axis=1).to_csv(path, index=False, float_format="%.9g")


def read_predictions(path: Path, manifest: manifests.Manifest) -> evaluate.Predictions:
  """What `write_predictions` wrote, for the rows with these ids in `manifest`; a regression to its six digits."""
  table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
  rows = pd.Series(manifest.table.row.to_numpy(), index=manifest.table.id)[table.id].to_numpy()
  outputs = {}
  for task in manifest.tasks:
    prefix = "" if len(manifest.tasks) == 1 else f"{task.name}_"
    columns = [f"{prefix}p_{c}" for c in task.classes] or [f"{prefix}predicted"]
    outputs[task.name] = table[columns].to_numpy(np.float32)
  return evaluate.Predictions(rows, outputs)


def load_kept(folder: Path) -> tuple[manifests.Manifest, dict[str, evaluate.Predictions]]:
  """What a finished run has kept: its manifest, and the predictions of "val" and "test". The data need not be there."""
  config, (wanted, _) = load_config(folder), load_identity(folder)
  grouped_by = json.loads((folder / "result.json").read_text())["data"]["grouped_by"]
  nowhere = cast(Source, FolderSource(os.sep, follow_links=True))
  plain = manifests.Manifest(manifests.read_table(folder / "manifest.csv", wanted), wanted, grouped_by, nowhere)
  manifest = sequences.make(plain, config)
  return manifest, {s: read_predictions(folder / f"predictions_{s}.csv", manifest) for s in ("val", "test")}


def load_sets(folder: Path, share: float) -> coverage.Entries:
  """`coverage.measure` of a finished run. Raises ConfigError and DataError as that does."""
  conformal.check(share)
  config, (manifest, found) = load_config(folder), load_kept(folder)
  return coverage.measure((found["val"], manifest), (found["test"], manifest), config, share)


def load_calibration(folder: Path) -> dict[str, dict[str, Any]]:
  """calibration.json of a run; {} where it was made without."""
  path = folder / "calibration.json"
  return json.loads(path.read_text()) if path.is_file() else {}


def load_identity(folder: Path) -> tuple[tuple[tasks.Task, ...], str]:
  """Tasks of a finished run and the sha256 of its manifest. The data itself need not be there."""
  path = folder / "result.json"
  if not path.is_file():
    raise ConfigError(f"{folder} holds no finished run: it has no result.json.\nRun its command again to finish it.")
  result = json.loads(path.read_text())
  if "folds" in result:
    raise ConfigError(f"{folder} holds a cross-validation, whose {result['folds']['count']} models each saw other "
                      f"patients.\nGive the folder of one of them, such as {folder / 'fold_1'}.")
  data = result["data"]
  return tasks.from_json(data["tasks"]), data["sha256"]


def load_config(folder: Path) -> ConfigDict:
  """The config of a run; what fields vft has got since then are at their defaults. Raises ConfigError without a run."""
  return _completed(workdirs.load_config(folder), configs.load("default"))


def _completed(config: ConfigDict, default: ConfigDict) -> ConfigDict:
  found = config.copy_and_resolve_references()
  with found.unlocked():
    for key, value in default.items():
      if key not in found:
        found[key] = value
      elif isinstance(value, ConfigDict) and value.keys():  # an empty one is for any keys
        found[key] = _completed(found[key], value)
  return found


def load_run(folder: Path) -> tuple[ConfigDict, tuple[tasks.Task, ...], startup.Prepared]:
  """Config, tasks and best state of a finished run. Raises ConfigError or WeightsError where the folder has none."""
  config = load_config(folder)
  wanted, manifest_sha256 = load_identity(folder)
  begin = startup.prepare(config, wanted, manifest_sha256, folder, sharding.make_mesh(), steps=1, clips=lambda: ())
  return config, wanted, dataclasses.replace(begin, state=begin.saver.restore(begin.state, begin.saver.store.best()))


def columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray]) -> dict[str, Any]:
  """tasks.columns of each task."""
  return {k: v for t in wanted for k, v in tasks.columns(t, outputs[t.name], len(wanted) == 1).items()}
