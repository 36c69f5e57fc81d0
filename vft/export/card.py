"""What an export says of itself: export.json for programs, README.md, the model card, for people."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from ml_collections import ConfigDict

import vft
from vft import config as configs
from vft import predict, startup
from vft import tasks as kinds
from vft.convert import registry
from vft.data import sampling, sequences
from vft.tasks import Task


def about(config: ConfigDict, tasks: tuple[Task, ...], begin: startup.Prepared, folder: Path) -> dict[str, Any]:
  """What export.json holds: the tasks, how a video becomes input, and the temperature of each task."""
  d, sampler, pixels = config.data, sampling.Sampler.make(config.data), begin.pixels
  how = dict(num_frames=d.num_frames, fps=sampler.fps, uniform=sampler.uniform, single_frame=d.single_frame,
             views=config.eval.views, crops=config.eval.crops, resize=d.resize, crop=d.crop, mask=d.mask,
             window=d.window, size=d.size, channels=d.channels, mean=pixels.mean, std=pixels.std)
  s, (before_s, after_s) = config.sequence, sequences.around_s(config)
  sequence = {"clip": None, "patient": dict(unit=s.unit), "video": dict(
      unit=s.unit, fps=s.fps, before_s=before_s, after_s=after_s)}[s.unit]
  return dict(vft=vft.__version__, tasks=kinds.to_json(tasks), input=how, sequence=sequence,
              calibration=predict.load_calibration(folder))


def write(path: Path, said: dict[str, Any], config: ConfigDict, begin: startup.Prepared, folder: Path, checked: str,
          gap: float, holds: str) -> None:
  """The card, from what `about` returned and the run's result.json. `checked`, `gap`: the clips, the difference."""
  result = json.loads((folder / "result.json").read_text())
  data, base = result["data"], config.init.weights
  entry = registry.get(base) if base else None
  licence = f"of the base weights: {entry.licence if entry else 'not known'}" if base else "that of the run's owner"
  temperatures = ", ".join(f"{name} {e['temperature']:.3g}" for name, e in said["calibration"].items()
                           if e["temperature"])
  environment = jinja2.Environment(  # noqa: S701, the card is Markdown
      loader=jinja2.PackageLoader("vft.export", "."), trim_blocks=True, lstrip_blocks=True,
      undefined=jinja2.StrictUndefined)
  text = environment.get_template("card.md").render(
      title=f"{begin.model.family} {begin.model.variant}".strip(), limits=_limits(config), number=_number,
      model=f"{begin.model.family} {begin.model.variant}".strip(), base=base or "random values",
      trained=f"{result['cost']['trained_parameters']:,} parameters trained, best step {result['cost']['best_step']}",
      licence=licence,
      source=config.data.source, data=data,
      tasks=said["tasks"], temperatures=temperatures, figures=_figures(result["test"]), controls=_controls(result),
      input=said["input"], sequence=said["sequence"], checked=checked, gap=gap, holds=holds, version=vft.__version__)
  path.write_text(text)


def _limits(config: ConfigDict) -> str:
  """Of use; those of the defaults for runs from before there was such a field."""
  return (config if "report" in config else configs.load("default")).report.limits


def _figures(test: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
  return [(level, name, figure) for level, found in test.items() for name, figure in found.items()]


def _controls(result: dict[str, Any]) -> Sequence[tuple[str, str, Any]]:
  """(control, figure, value) of the first figure at the last level."""
  level = list(result["test"])[-1]
  name = next(iter(result["test"][level]))
  return [(control, f"{name} per {level}", found[level][name]["value"])
          for control, found in result.get("controls", {}).items() if name in found.get(level, {})]


def _number(value: float | None) -> str:
  return "-" if value is None else f"{value:.3f}"
