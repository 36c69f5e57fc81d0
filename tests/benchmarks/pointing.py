"""Do maps point at the moving wall? Share of the map inside it over its share of the area, on simulated test clips.

  python -m vft.main --config=medical --config.controls='()' --workdir=runs/medical   # about 3 minutes
  python -m tests.benchmarks.pointing runs/medical [--clips=100] [--steps=8]

The wall is known from the geometry that made the clip. 1 is chance; what is black in every frame counts as no area. Two
maps know no model: the picture's own brightness (a wall is bright, and gradients times pixels follow pixels), and how
far each pixel is from its mean over the clip, as `integrated_gradients:still` is a gradient times that.
"""
import argparse
import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import numpy as np
from absl import flags

from vft import predict
from vft import workdir as workdirs
from vft.data.builders import echo_mask
from vft.explain import command, gradcam, inputs
from vft.explain.subject import Subject, Target, logits, to_video


def wall(row, times: np.ndarray, resize: int, size: int) -> tuple[np.ndarray, np.ndarray]:
  """The wall (T, size, size) and the sector (size, size) of a row of the manifest, as the model sees them; bool."""
  mask, seen = echo_mask.wall_mask(int(row.id[1:4]), int(row.id[-1]), row.label)
  frame = np.abs(seen[:, None] - times).argmin(axis=0)
  cut = (resize - size) // 2
  return tuple(x[..., cut:cut + size, cut:cut + size] for x in (mask[frame], echo_mask.sector()))


def ratio(values: np.ndarray, mask: np.ndarray, sector: np.ndarray) -> float:
  """Share of the map (T, H, W) inside the mask over the mask's share of the sector."""
  values = np.maximum(values, 0) * sector
  return float(values[mask].sum() / values.sum() / (mask.sum() / (len(mask) * sector.sum())))


def maps(subject: Subject, frames: np.ndarray, video: np.ndarray, rng: np.random.Generator, steps: int):
  """{name: map (T, H, W)} of one clip."""
  shape = frames.shape[:3]
  cams = {block: gradcam.gradcam(subject, video, block) for block in ("mixed_4f", "mixed_5c")}
  found = {f"Grad-CAM, {block}": cam for block, cam in cams.items()}
  found |= {f"random, grid of {block}": rng.random(cam.shape) for block, cam in cams.items()}
  grey = frames.mean(axis=-1)
  return {"integrated gradients, from black": np.abs(inputs.integrated_gradients(subject, video, steps))[0],
          "integrated gradients, still": np.abs(inputs.integrated_gradients(subject, video, steps, still=True))[0],
          "random, every pixel": rng.random(shape), "the picture itself": grey,
          "its motion": np.abs(grey - grey.mean(axis=0)),
          **{name: to_video(values, shape)[0] for name, values in found.items()}}


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("workdir", type=Path)
  parser.add_argument("--clips", type=int, default=100)
  parser.add_argument("--steps", type=int, default=8)
  args = parser.parse_args()
  flags.FLAGS.mark_as_parsed()
  config, tasks, begin = predict.load_run(args.workdir)
  manifest = workdirs.load_manifest(config, args.workdir)
  model, variables = command.of_run(begin)
  test = manifest.table[manifest.table.split == "test"].iloc[::2][:args.clips]  # one clip of each patient
  rng, found = np.random.default_rng(0), {}
  for row in test.itertuples():
    frames, video, times = command.read(manifest.source.read(row.path), config, begin.pixels)
    target = Target(tasks[0], int(np.argmax(logits(model, variables, video)[tasks[0].name][0])))
    mask, sector = wall(row, times, config.data.resize, config.data.size)
    for name, values in maps(Subject(model, variables, target), frames, video, rng, args.steps).items():
      found.setdefault(name, []).append(ratio(values, mask, sector))
  draws = rng.integers(len(test), size=(2000, len(test)))
  print(f"share of the map in the wall / share of area; {len(test)} clips, as many patients; 95 % bootstrap")
  for name, values in found.items():
    values = np.array(values)
    low, high = np.quantile(values[draws].mean(axis=1), (0.025, 0.975))
    print(f"{name:34} {values.mean():.2f} [{low:.2f}, {high:.2f}], above 1 in {(values > 1).mean():.0%}")


if __name__ == "__main__":
  main()
