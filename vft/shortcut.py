"""vft check --shortcut CONFIG: the same run on the border of the picture alone, which should tell it nothing."""
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft import run, tasks
from vft import workdir as workdirs
from vft.data import readers
from vft.errors import ConfigError
from vft.tasks import Task

BORDER = 0.1  # share of the side of the square that stays on each side; the centre is black
# By the kind of a task: the figures that a model without information leaves at chance, and that chance.
CHANCE: dict[str, dict[str, Callable[[Task], float]]] = {
    "single": {"auroc": lambda _: 0.5, "balanced_accuracy": lambda task: 1 / len(task.classes)},
    "multi": {"auroc": lambda _: 0.5},
    "ordinal": {"quadratic_kappa": lambda _: 0.0},
    "regression": {"r2": lambda _: 0.0},
}


def check(config: ConfigDict, folder: Path, stop: Callable[[], None]) -> bool:
  """Trains and tests the control in `folder`, prints its table and what it means; True where nothing was found.

  The same call goes on after a stop, and prints again on a finished folder. Raises errors.VftError.
  """
  run.check(config)
  if config.data.crop == "sector":
    raise ConfigError('config.data.crop is "sector": what lies outside the sector is black already, so the run cannot '
                      "use it.\nTo look at the border of whole pictures write --config.data.crop=centre.")
  folder.mkdir(parents=True, exist_ok=True)
  result = run.run(border_only(config, _aspect(config, folder)), folder, stop)
  found = list(above_chance(result))
  for name, entry, chance in found:
    print(f"WARNING: from the border alone, {name} is {entry['value']:.2f} [{entry['low']:.2f}, {entry['high']:.2f}], "
          f"chance {chance:.2f}: something there tells the label, such as text, a ruler or the scanner's layout.\n"
          "Look at the clips of each class; black it out: config.data.mask, or --config.data.crop=sector.")
  if not found:
    print(f"From the border alone ({BORDER:.0%} of each side) no figure is above chance: no such shortcut.")
  return not found


def border_only(config: ConfigDict, aspect: float = 1.0) -> ConfigDict:
  """The config of the control: the centre of the square that the model sees is black, and all of its border is seen.

  `aspect`: width over height of the pictures, whose middle square is taken.
  """
  changed = config.copy_and_resolve_references()
  x, y = (0.5 - (0.5 - BORDER) * min(1, share) for share in (1 / aspect, aspect))
  changed.data.update(mask=(*config.data.mask, (x, y, 1 - x, 1 - y)), resize=config.data.size)
  changed.data.folds, changed.augment.enabled, changed.controls = 0, False, ()
  return changed


def above_chance(result: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], float]]:
  """(name, entry of result.json, chance) of the test figures whose whole interval is above chance."""
  wanted = tasks.from_json(result["data"]["tasks"])
  for level, figures in result["test"].items():
    for task in wanted:
      prefix = f"{task.name}/" if len(wanted) > 1 else ""
      for figure, chance in CHANCE[task.kind].items():
        entry = figures.get(prefix + figure)
        if entry and entry["low"] is not None and entry["low"] > chance(task):
          yield f"{prefix}{figure} per {level}", entry, chance(task)


def _aspect(config: ConfigDict, folder: Path) -> float:
  """Width over height of the first clip."""
  manifest = workdirs.load_manifest(config, folder)
  path = manifest.table.path[manifest.table.status == "ok"].iloc[0]
  info = readers.probe(manifest.source.read(path), **readers.options(config.data))
  return info.width / info.height
