"""Cross-validation by group: a run for each fold, one after the other, and one result of their pooled predictions."""
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from ml_collections import ConfigDict

from vft import evaluate, predict, stats
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import sequences, skipped
from vft.tables import LEVELS

OF_PROBABILITIES = ("loss", "ece", "brier")  # figures of calibrated predictions in which no threshold has a part


def cross_validate(config: ConfigDict, folder: Path,
                   run: Callable[[ConfigDict, Path], dict[str, Any]]) -> dict[str, Any]:
  """Runs config.data.folds folds in `folder`/fold_1, ... and returns what `folder`/result.json holds.

  Each fold is an ordinary run, which can be looked at, resumed and used to predict by itself. A fold that is finished
  is only read. All folds are divided and checked before the first one trains.

  result.json: "test" has the figures of the pooled out-of-fold predictions, each clip by the run that did not see its
  patient, with intervals by patient bootstrap; "controls" likewise. "folds" has the same per fold, see
  `stats.across_folds`. Every fold has its own temperature and thresholds, so "test_calibrated" pools only the figures
  of probabilities; those at the thresholds are in folds.test_calibrated. There is no "val": folds share those clips.

  `run` is (config, folder) -> result of one run. Raises DataError where the groups cannot be divided so.
  """
  workdirs.write_json(folder / "env.json", workdirs.environment())
  whole = workdirs.load_manifest(config, folder)
  parts = [manifests.of_fold(whole, number + 1, config) for number in range(config.data.folds)]
  one = config.copy_and_resolve_references()
  one.data.folds = 0
  places, results = [folder / f"fold_{number + 1}" for number in range(len(parts))], []
  for place, manifest in zip(places, parts, strict=True):
    print(f"\n{place.name.replace('_', ' ')} of {len(parts)}", file=sys.stderr)
    place.mkdir(exist_ok=True)
    if not (place / "manifest.csv").is_file():
      for warning in manifest.warnings:
        logging.warning("%s: %s", place.name, warning)
      manifest.save(place / "manifest.csv")
    results.append(run(one, place))
  result = _pool(config, folder, sequences.make(whole, config), places, results)
  workdirs.write_json(folder / "result.json", result)
  return result


def _pool(config: ConfigDict, folder: Path, whole: manifests.Manifest, places: list[Path],
          results: list[dict[str, Any]]) -> dict[str, Any]:
  def read(name: str) -> list[evaluate.Predictions]:
    return [predict.read_predictions(place / name, whole) for place in places]

  found = read("predictions_test.csv")
  test = evaluate.together(found)
  predict.write_predictions(folder / "predictions_test.csv", test, whole)
  result: dict[str, Any] = {"test": evaluate.figures(test, whole, config), "controls": {}}
  folds: dict[str, Any] = {"count": len(results), "test": _across([r["test"] for r in results]), "controls": {}}
  entries = [predict.load_calibration(place) for place in places]
  if any(entries):
    calibrated = evaluate.together([evaluate.calibrated(p, e) for p, e in zip(found, entries, strict=True)])
    result["test_calibrated"] = {
        level: {name: figure for name, figure in figures.items() if name.rsplit("/", 1)[-1] in OF_PROBABILITIES}
        for level, figures in evaluate.figures(calibrated, whole, config).items()}
    folds["test_calibrated"] = _across([r.get("test_calibrated", {}) for r in results])
  for name in config.controls:
    other = evaluate.together(read(f"controls/{name}/predictions_test.csv"))
    result["controls"][name] = {**evaluate.figures(other, whole, config),
                                "difference": evaluate.differences(test, other, whole, config)}
    of_folds = [r["controls"][name] for r in results]
    folds["controls"][name] = {**_across(of_folds), "difference": _across([c["difference"] for c in of_folds])}
  left_out = pd.concat([pd.read_csv(place / "skipped.csv") for place in places]).drop_duplicates("row")
  left_out.to_csv(folder / "skipped.csv", index=False)
  return {**result, "folds": folds, "cost": _cost([r["cost"] for r in results]),
          "confusion": {"test": evaluate.confusion(test, whole)},
          "data": skipped.summary(whole, config, len(left_out))}


def _across(parts: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
  """{level: {metric: figure}} of each fold -> the same across folds; a level that a fold has not is left out there."""
  return {level: {name: stats.across_folds([p[level][name]["value"] for p in parts if level in p])
                  for name in next(p[level] for p in parts if level in p)}
          for level in LEVELS if any(level in p for p in parts)}


def _cost(costs: list[dict[str, Any]]) -> dict[str, Any]:
  """Sums over the folds; the memory is the most."""
  causes = {cause for c in costs for cause in c["by_cause"]}
  return {"total_s": sum(c["total_s"] for c in costs), "peak_memory_gib": max(c["peak_memory_gib"] for c in costs),
          "by_cause": {cause: sum(c["by_cause"].get(cause, 0.0) for c in costs) for cause in sorted(causes)},
          "steps": sum(c["steps"] for c in costs), "trained_parameters": costs[0]["trained_parameters"]}
