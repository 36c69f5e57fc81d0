"""vft evaluate RUN --source=...: a finished run on the data of another centre; nothing is fitted there."""
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
from ml_collections import ConfigDict

from vft import coverage, evaluate, mirror, predict, sharding, startup, storage, tables
from vft import sequences as whole
from vft import workdir as workdirs
from vft.data import decoders, pipeline, sequences, skipped
from vft.data import manifest as manifests
from vft.data.manifest import Manifest
from vft.data.sequences import Sequences
from vft.errors import ConfigError, DataError


def evaluate_source(workdir: str, source: str, root: str, by: tuple[str, ...], output: str) -> None:
  """Writes evaluation.json, manifest.csv, predictions.csv and skipped.csv to `output` and prints the figures.

  Classes are those of the run, found by name; temperature, thresholds and conformal sets are those of its validation.
  Runs over procedures and patients make sequences of the source as of their own data. `by`: columns of the source, of
  which each clip, procedure or patient has one value. Raises ConfigError or WeightsError where `workdir` holds no
  finished run, DataError for the data.
  """
  if storage.is_remote(workdir) and not output:
    raise ConfigError(f"{workdir} is only read. Say where the figures go by --output=FOLDER.")
  run = mirror.fetched(workdir)
  out = Path(output) if output else run / "evaluations" / Path(source.partition(":")[2] or source).stem
  if out.exists():
    raise ConfigError(f"{out} exists already; choose another folder by --output=FOLDER, or remove it.")
  config, tasks, begin = predict.load_run(run)
  here = config.copy_and_resolve_references()
  here.data.update(source=source, root=root)
  if source.partition(":")[0] != config.data.source.partition(":")[0]:
    here.data.options = ConfigDict({})  # they choose among what the other kind of source has
  plain, columns = manifests.make_test(
      here, tasks, by, inspect=partial(decoders.probe_all, limit_s=here.data.decode_timeout_s))
  manifest = sequences.make(plain, here)
  columns = _of_rows(manifest, columns)
  old, kept = predict.load_kept(run)
  for warning in (*plain.warnings, *_learned(plain, old)):
    logging.warning(warning)
  out.mkdir(parents=True)
  plain.save(out / "manifest.csv")
  found, bad = _predict(manifest, here, begin, out)
  predict.write_predictions(out / "predictions.csv", found, manifest)
  for task in (t.name for t in manifest.tasks if not evaluate.levels(found, manifest, t)):
    logging.warning("%s has no label of %s: it is predicted, and there are no figures of it", source, task)
  entries, internal = predict.load_calibration(run), json.loads((run / "result.json").read_text())
  result: dict[str, Any] = {"test": evaluate.figures(found, manifest, here),
                            "test_calibrated": evaluate.figures(found, manifest, here, entries) if entries else None,
                            "confusion": evaluate.confusion(found, manifest),
                            "data": skipped.summary(manifest, here, bad)}
  before = kept["test"]
  result["difference"] = evaluate.between(found, manifest, before, old, here)
  if entries:
    result["difference_calibrated"] = evaluate.between(found, manifest, before, old, here, entries)
  result["conformal"] = coverage.usual((kept["val"], old), (found, manifest), here)
  rows = {column: columns[column].iloc[found.rows] for column in by}
  result["by"] = {column: {value: evaluate.figures(found.of(found.rows[(values == value).to_numpy()]), manifest, here)
                           for value in sorted(set(values))} for column, values in rows.items()}
  workdirs.write_json(out / "evaluation.json", result)
  tables.print_results({**result, "calibration": entries})
  _print_difference(result, internal)
  _print_by(result)
  left = f"{bad} {'' if manifest.unit == 'clip' else 'clips '}left out"
  print(f"{len(found.rows)} {tables.UNITS[manifest.unit]}, {left}; all of it: {out}")


def _learned(here: Manifest, run: Manifest) -> list[str]:
  """A warning where files are copies of some that the run has learned from."""
  table = run.origin.table if isinstance(run, Sequences) and run.origin else run.table
  learned = set(table.sha256[(table.status == "ok") & table.split.isin(("train", "val"))])
  ours = here.table[here.table.status == "ok"].drop_duplicates("path")
  count = int(ours.sha256.isin(learned).sum())
  return [f"{count} of {len(ours)} files are copies of some that the run was trained or chosen on: these figures "
          "flatter it"] if count else []


def _of_rows(manifest: Manifest, columns: pd.DataFrame) -> pd.DataFrame:
  """Columns of the rows of a source -> of those of `manifest`. Raises DataError where one would have several values."""
  if not isinstance(manifest, Sequences) or columns.empty:
    return columns
  assert manifest.origin is not None
  key = "path" if manifest.unit == "video" else "group"
  values = columns.groupby(manifest.origin.table[key].to_numpy())
  for column, counts in values.nunique().items():
    if (counts > 1).any():
      name = counts.index[counts > 1][0]
      several = sorted(set(values.get_group(name)[column]))
      raise DataError(f"--by={column}: the rows of {name!r} have the values {several}.\nExpected one per "
                      f"{manifest.unit}: make another column, or leave it out.")
  return values.first().loc[manifest.table[key]].reset_index(drop=True)


def _predict(manifest: Manifest, config: ConfigDict, begin: startup.Prepared,
             out: Path) -> tuple[evaluate.Predictions, int]:
  """Predictions of all rows, and how many clips cannot be decoded."""
  mesh, state = sharding.make_mesh(config.mesh.fsdp), begin.state
  if isinstance(manifest, Sequences):
    found, failed = whole.predict(begin.model, state, begin.pixels, manifest, config, mesh, keep=True)
    return found, skipped.write_skipped(manifest.shown, failed, out / "skipped.csv", config)
  failed: set[int] = set()
  batches = skipped.watch(pipeline.eval_batches(
      manifest, config, manifest.rows("test"), batch=config.train.batch, views=config.eval.views,
      crops=config.eval.crops), failed)
  found = evaluate.predict(begin.model, state.best_params, state.batch_stats, begin.pixels, manifest.tasks, batches,
                           mesh, config.eval.chunk)
  return found, skipped.write_skipped(manifest, failed, out / "skipped.csv", config)


def _print_difference(result: dict[str, Any], internal: dict[str, Any]) -> None:
  """The headline figures here, in the run's own test, and how far they are apart."""
  for level, figures in result["difference"].items():
    for name in (name for name in tables.headline(internal["data"]) if name in figures):
      here, before, apart = result["test"][level][name], internal["test"][level][name], figures[name]
      if apart["value"] is not None:
        around = "" if apart["low"] is None else f" [{apart['low']:+.3f}, {apart['high']:+.3f}]"
        print(f"{name} per {level}: {here['value']:.3f} here, {before['value']:.3f} in the run's test: "
              f"{apart['value']:+.3f}{around}")


def _print_by(result: dict[str, Any]) -> None:
  """The first figure of each value of each column, at the last level."""
  level = list(result["test"])[-1]
  name = next(iter(tables.headline(result["data"])))
  for column, values in result["by"].items():
    for value, found in values.items():
      if figure := found.get(level, {}).get(name):
        print(f"{column} {value}: {name} per {level} {tables.interval(figure, 3)}, {figure['n']} groups")
