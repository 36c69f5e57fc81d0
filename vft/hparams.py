"""What TensorBoard's table of hyperparameters shows of a run: what was chosen, and what came out."""
from collections.abc import Mapping
from typing import Any

from ml_collections import ConfigDict

from vft import config as configs

# Shown of every run; beside them what is not at its default. All 200 fields would hide what differs.
ALWAYS = ("seed", "data.num_frames", "data.fps", "data.size", "model.name", "model.variant", "model.head",
          "init.weights", "optim.name", "train.batch", "train.epochs")


def of_config(config: ConfigDict) -> dict[str, bool | float | str]:
  """{field: value} by the names of flags; what is no number is a text."""
  moved = configs.difference(configs.load(str(configs.SHIPPED / "default.py")), config)
  shown = {*ALWAYS, *(line.partition(":")[0] for line in moved)}
  mine = configs.fields(configs.from_json(configs.to_json(config)))  # secrets are masked
  return {k: v if isinstance(v, bool | int | float | str) else str(v) for k, v in mine.items() if k in shown}


def of_result(result: Mapping[str, Any]) -> dict[str, float]:
  """{"video/accuracy": 0.91, ...} of result.json's test figures."""
  return {f"{level}/{name}": float(entry["value"]) for level, figures in (result.get("test") or {}).items()
          for name, entry in (figures or {}).items() if entry.get("value") is not None}
