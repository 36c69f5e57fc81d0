"""vft inspect --config=...: OUTPUT/inspect.html and inspect.png, clips before and after augmentation."""
from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ml_collections import ConfigDict

from vft import forward, main, startup
from vft import run as runs
from vft.contact_sheet import clips, page, sheet
from vft.data import manifest as manifests
from vft.data.augment import Augment
from vft.data.manifest import Manifest
from vft.errors import ConfigError
from vft.writer import Writer

# Fields that mean something only beside another one.
OF = {"aspect": "scale", "blur_sigma": "blur", "magnitude": "randaugment", "erase_area": "erase"}


def entry(argv: Sequence[str]) -> int:
  """`vft inspect`: its own flags, and those of vft train; --workdir is where the files go."""
  parser = argparse.ArgumentParser("vft inspect", description="Clips as the model sees them: inspect.html and "
                                   "inspect.png in --workdir, by default runs/inspect/NAME.", allow_abbrev=False,
                                   epilog="--config=NAME and --config.FIELD=VALUE are as in vft train.")
  parser.add_argument("--clips", type=int, default=8, help="how many; default: 8")
  parser.add_argument("--frames", type=int, default=8, help="of each, side by side; default: 8")
  parser.add_argument("--copies", type=int, default=2, help="augmented ones of each clip; default: 2")
  parser.add_argument("--split", choices=("train", "val", "test"), default="train")
  args, rest = parser.parse_known_args(list(argv))

  def start(config: ConfigDict, folder: Path, stop: Callable[[], None]) -> None:
    inspect(config, folder, count=args.clips, frames=args.frames, copies=args.copies, split=args.split, stop=stop)
  return main.main(rest, start, "runs/inspect")


def inspect(config: ConfigDict, folder: Path, *, count: int = 8, frames: int = 8, copies: int = 2, split: str = "train",
            stop: Callable[[], None] = lambda: None) -> tuple[Path, Path]:
  """Writes inspect.html and inspect.png into `folder` and returns them. Raises errors.VftError.

  Args:
    count: clips, of each class of the first task equally many.
    frames: of each clip that are shown.
    copies: augmented copies of each clip, where config.augment.enabled: what training sees.

  >>> page, picture = inspect(config, folder, count=2)
  2 clips: ...inspect.html, ...inspect.png
  """
  runs.check(config)
  for name, value, least in (("clips", count, 1), ("frames", frames, 1), ("copies", copies, 0)):
    if value < least:
      raise ConfigError(f"--{name} is {value}; expected {least} or more.")
  folder.mkdir(parents=True, exist_ok=True)
  whole = config.copy_and_resolve_references()
  whole.data.folds = 0  # all clips, in the splits of a single run
  manifest = manifests.make_manifest(whole)
  pixels = forward.make_pixels(config, startup.make_model(config, manifest.tasks))
  rows = clips.choose(manifest, split, count, config.seed)
  with Writer(folder, tensorboard=False, progress=config.log.progress) as writer:
    since = time.monotonic()

    def tick(done: int) -> None:
      writer.status("Reading", done / max(time.monotonic() - since, 1e-9), done, len(rows))
      stop()
    shown, values = clips.show(manifest, whole, pixels, rows, copies, tick)
  title = f"{len(shown)} clips of {split}, {config.data.source}"
  said = facts(config, manifest, pixels, values)
  png, html = folder / "inspect.png", folder / "inspect.html"
  sheet.draw(title, ["SIMULATED data: no real videos."] * manifest.source.simulated + said, shown, frames).save(png)
  html.write_text(page.render(title, said, shown, frames, manifest.source.simulated), encoding="utf-8")
  print(f"{len(shown)} clips: {html}, {png}")
  return html, png


def facts(config: ConfigDict, manifest: Manifest, pixels: forward.Pixels, values: dict[str, float]) -> list[str]:
  """What the model gets, in lines."""
  data, how = config.data, config.augment
  when = {"dense": f"at {data.fps:g} Hz: {data.num_frames / data.fps:.3g} s",
          "duration": f"over {data.duration_s:g} s", "uniform": "spread over the whole video"}[data.sampling]
  cut = (f"the middle square, short side {data.resize}, of which the model sees the middle {data.size} x {data.size} "
         "(box)" if data.crop == "centre" else
         f"the square around the ultrasound sector, {data.resize}, of which the model sees {data.size} x {data.size}")
  mean, std = (", ".join(f"{x:.3g}" for x in v) for v in (pixels.mean, pixels.std))
  lines = [f"A clip: {data.num_frames} frame{'s' * (data.num_frames > 1)} {when}. Picture: {cut}."
           + (f" {len(data.mask)} boxes are blackened." if data.mask else ""),
           f"Input of {config.model.name}: (pixels - ({mean})) / ({std}), here {values['low']:.2f} to "
           f"{values['high']:.2f}, mean {values['mean']:.2f}" + (", one channel." if data.channels == 1 else ".")]
  if not how.enabled:
    return [*lines, "Augmentation is off: training sees what evaluation sees. To see some: "
            "--config.augment.enabled=True"]
  on = [f"{name}={how[name]}" for name in Augment._fields if how[name] and (name not in OF or how[OF[name]])]
  mixed = [f"{name}={how[name]:g}" for name in ("mixup", "cutmix") if how[name]]
  return [*lines, f"Augmentation: {'another start of the clip, ' if how.time_jitter else ''}{', '.join(on)}."
          + (f" Clips are then blended, which is not shown: {', '.join(mixed)}." if mixed else "")]
