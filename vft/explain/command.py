"""vft explain RUN VIDEO... --output=FOLDER: what a finished run looks at, as overlays, curves and arrays."""
import argparse
import logging
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ml_collections import ConfigDict

from vft import forward, main, mirror, objective, predict, preprocess
from vft.data import readers, sampling
from vft.errors import ConfigError, DataError, did_you_mean
from vft.explain import attention, gradcam, inputs, pictures, subject

METHODS: dict[str, Callable[..., np.ndarray]] = {
    "gradcam": gradcam.gradcam, "rollout": attention.rollout, "attention": attention.weighted,
    "integrated_gradients": inputs.integrated_gradients,
    "integrated_gradients:still": partial(inputs.integrated_gradients, still=True), "occlusion": inputs.occlusion}


def explain(argv: Sequence[str]) -> None:
  """Writes OUTPUT/NAME/{overlay.mp4, overlay.gif, curve.png, sheet.png, map.npz} for each video.

  Raises DataError, after the others are done, where a file could not be read; else errors.VftError.
  """
  args = _parser().parse_args(argv)
  find_method(args.method)
  videos = predict.find_videos(args.paths)
  config, tasks, begin = predict.load_run(mirror.fetched(args.workdir))
  if config.sequence.unit != "clip":
    raise ConfigError(f"{args.workdir} predicts a {config.sequence.unit}, and maps are of clips.\nGive the folder of a "
                      'run with config.sequence.unit="clip".')
  if args.crop:
    config.data.crop = args.crop
  model, variables = of_run(begin)
  unread, used = {}, set()
  for path in videos:
    try:
      frames, video, times = read(path, config, begin.pixels)
    except DataError as e:
      unread[path] = str(e)
      continue
    logits = subject.logits(model, variables, video)
    outputs = {t.name: np.asarray(objective.values(t, logits[t.name])) for t in tasks}
    target = subject.find_target(tasks, args.target, outputs)
    method = args.method or ("attention" if "attention" in variables["params"][model.blocks[1]] else "gradcam")
    asked = subject.Subject(model, variables, target, begin.pixels.channels)
    values = find_method(method)(asked, video)
    folder = _place(args.output, path, used)
    write(folder, frames, times, values, f"{method}, {target.name}", method)
    print(f"{path}: {target.name} {float(outputs[target.task.name][0, target.output]):.4g}, {method} -> {folder}")
    if args.deletion:
      own, chance = inputs.against_chance(asked, video, values)
      print(f"  mean score as the map's places turn black: {own:.4g}; {len(chance)} random maps: {chance.mean():.4g} "
            f"({chance.min():.4g} to {chance.max():.4g}), {(chance > own).sum()} of them above the map's")
  if unread:
    lines = "\n".join(f"  {path}: {reason}" for path, reason in unread.items())
    raise DataError(f"{len(unread)} of {len(videos)} files could not be read; the others are done.\n{lines}")


def of_run(begin: Any) -> tuple[Any, dict[str, Any]]:
  """The model of a `startup.Prepared` and its best variables on the host; nothing is computed twice to save memory."""
  params, stats = jax.tree.map(np.asarray, (begin.state.best_params, begin.state.batch_stats))
  return begin.model.clone(remat="none"), jax.tree.map(np.asarray, forward.variables(begin.model, params, stats))


def read(source: Any, config: ConfigDict, pixels: forward.Pixels) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """The middle clip of a file: frames (T, S, S, 3) uint8, the model's input (1, T, S, S, C), seconds (T,)."""
  source, reading = str(source) if isinstance(source, Path) else source, readers.options(config.data)
  times = sampling.Sampler.make(config.data).times(readers.probe(source, **reading).duration_s)
  clip = readers.read_clip(source, times, resize=config.data.resize, **reading)
  video = forward.inputs({"video": clip[None, None]}, pixels, train=False)
  return np.asarray(preprocess.centre_crop(jnp.asarray(clip[None]), pixels.size))[0], np.asarray(video), times


def find_method(asked: str) -> Callable[..., np.ndarray]:
  """f(subject, video) -> (B, T', H', W') of "gradcam:mixed_4f" and the like. Raises ConfigError for another name."""
  name, _, block = asked.partition(":")
  if asked and asked not in METHODS and not (block and name == "gradcam"):
    raise ConfigError(f"--method is {asked!r}; known: {', '.join(METHODS)}, gradcam:BLOCK{did_you_mean(name, METHODS)}")
  return METHODS.get(asked) or partial(gradcam.gradcam, block=block)


def write(folder: Path, frames: np.ndarray, times: np.ndarray, values: np.ndarray, title: str, method: str) -> None:
  """All files of one clip: frames (T, S, S, 3) uint8 at times (T,), values (1, T', H', W')."""
  folder.mkdir(parents=True, exist_ok=True)
  whole = subject.to_video(values, frames.shape[:3])[0]
  # One value a pixel is too fine to see, and the sign of a pixel says little.
  fine = method.startswith("integrated_gradients")
  shown = pictures.unit(np.abs(whole) if fine else whole, sigma=1.5 if fine else 0)
  overlay = pictures.blend(frames, shown)
  steps = np.diff(times)
  fps = float(1 / np.median(steps)) if len(steps) and np.median(steps) > 0 else 8.0
  pictures.write_mp4(folder / "overlay.mp4", pictures.enlarge(overlay), fps)
  pictures.write_gif(folder / "overlay.gif", pictures.enlarge(overlay, 2), fps)
  importance = (np.abs(whole) if fine else whole).mean(axis=(1, 2))
  pictures.write_curve(folder / "curve.png", times, importance, title)
  pictures.write_sheet(folder / "sheet.png", frames, overlay)
  np.savez_compressed(folder / "map.npz", map=values[0], time_s=times, importance=importance, title=title)


def _place(output: Path, path: predict.Video, used: set[str]) -> Path:
  """A folder for each video, named after it; of two that are called the same the second one has a number."""
  stem, number = Path(path).stem, 2  # a remote place is text
  name = stem
  while name in used:
    name, number = f"{stem}_{number}", number + 1
  used.add(name)
  return output / name


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser("vft explain", description=__doc__, allow_abbrev=False)
  parser.add_argument("workdir", help="folder of a finished run")
  parser.add_argument("paths", nargs="+", help="videos, or folders of videos")
  parser.add_argument("--method", default="", help=f"{', '.join(METHODS)} or gradcam:BLOCK, such as gradcam:mixed_4f; "
                      "default: attention where the model has it, else gradcam")
  parser.add_argument("--target", default="", help="a class, TASK=CLASS or TASK; default: what is predicted")
  parser.add_argument("--crop", default="", choices=("centre", "sector"), help="data.crop; default: that of the run")
  parser.add_argument("--deletion", action="store_true", help="also compare the map with random ones: how soon the "
                      "score falls as its highest places turn black (153 passes of the model for each clip)")
  parser.add_argument("--output", type=Path, required=True, metavar="FOLDER", help="a folder for each video goes here")
  parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  return parser


def entry(argv: Sequence[str]) -> int:
  """`vft explain` with these arguments; returns the exit code of DESIGN."""
  logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
  return main.guarded(lambda: explain(argv), verbose=bool({"-v", "--verbose"} & set(argv)))
