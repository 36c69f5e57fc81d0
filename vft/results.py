"""What result.json holds: the figures of validation and test, calibration, conformal sets, cost and data."""
import resource
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft import coverage, evaluate
from vft import workdir as workdirs
from vft.data import skipped
from vft.data.manifest import Manifest
from vft.progress import Clock


def write(found: Mapping[str, evaluate.Predictions], manifest: Manifest, config: ConfigDict, folder: Path, clock: Clock,
          facts: Mapping[str, Any], **parts: Any) -> dict[str, Any]:
  """Writes calibration.json and result.json, and returns what this holds.

  Args:
    found: predictions of "val" and "test".
    facts: of the training, for the part "cost"; the rows "skipped" go to the part "data", too.
    parts: more parts, such as controls.
  """
  with clock("eval"):
    result: dict[str, Any] = {split: evaluate.figures(found[split], manifest, config) for split in ("val", "test")}
    if entries := evaluate.calibrate(found["val"], manifest, config):
      workdirs.write_json(folder / "calibration.json", entries)
      result.update(calibration=entries, test_calibrated=evaluate.figures(found["test"], manifest, config, entries))
    if sets := coverage.usual((found["val"], manifest), (found["test"], manifest), config):
      result["conformal"] = sets
  used = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
  cost = {"total_s": clock.total_s, "by_cause": dict(clock.seconds), "peak_memory_gib": used / 2**20, **facts}
  result.update(**parts, cost=cost, data=skipped.summary(manifest, config, facts["skipped"]),
                confusion={split: evaluate.confusion(found[split], manifest) for split in ("val", "test")})
  workdirs.write_json(folder / "result.json", result)
  return result
