"""What a finished run says of videos: its own splits as CSV, and any file or folder."""
import contextlib
import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import evaluate, sharding, startup
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import readers, sampling
from vft.errors import ConfigError, DataError


def write_predictions(path: Path, found: evaluate.Predictions, manifest: manifests.Manifest) -> None:
  """One line per video: id, path, group, label, predicted, p_<class> (the mean over views)."""
  table = manifest.table.iloc[found.rows][["id", "path", "group", "label"]].reset_index(drop=True)
  table["predicted"] = [manifest.classes[k] for k in found.probs.argmax(1)]
  probs = pd.DataFrame(found.probs, columns=[f"p_{c}" for c in manifest.classes])
  pd.concat([table, probs], axis=1).to_csv(path, index=False, float_format="%.6f")


def find_videos(paths: list[str]) -> list[Path]:
  """Files as they are, folders searched for files. Raises DataError where nothing is found."""
  found = []
  for path in map(Path, paths):
    if not path.exists():
      raise DataError(f"There is no file or folder {str(path)!r}.")
    inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    found += inside if path.is_dir() else [path]
  if not found:
    raise DataError(f"No files in {', '.join(paths)}.")
  return found


def _clips(paths: list[Path], config: ConfigDict, views: int, spans: dict[int, Any]) -> Iterator[dict[str, Any]]:
  """Batches of one video; a file that cannot be read gets its reason in `spans` and is left out."""
  d = config.data
  for row, path in enumerate(paths):
    try:
      info = readers.probe(str(path), max_pixels=d.max_pixels)
      times = np.stack([sampling.clip_times(info.duration_s, num_frames=d.num_frames, fps=d.fps, view=v, views=views,
                                            single_frame=d.single_frame) for v in range(views)])
      video = np.stack([readers.read_clip(str(path), t, resize=d.resize, max_pixels=d.max_pixels) for t in times])
    except DataError as e:
      spans[row] = str(e)
      continue
    spans[row] = times
    size = jax.device_count()  # one clip and padding: every device takes a row
    yield {"video": np.concatenate([video[None], np.zeros((size - 1, *video.shape), video.dtype)]),
           "row": np.array([row] + [-1] * (size - 1), np.int32), "copy": np.zeros(size, np.int32),
           "mask": np.arange(size) == 0}


def load_identity(folder: Path) -> tuple[tuple[str, ...], str]:
  """Classes of a finished run and the sha256 of its manifest. The data itself need not be there."""
  path = folder / "result.json"
  if not path.is_file():
    raise ConfigError(f"{folder} holds no finished run: it has no result.json.\nRun its command again to finish it.")
  data = json.loads(path.read_text())["data"]
  return tuple(data["classes"]), data["sha256"]


def predict_files(workdir: str, paths: list[str], output: str) -> None:
  """Writes path, start_s, end_s, label, probability and p_<class> of every video as CSV.

  Times are those of the frames seen, in seconds. Raises DataError after the others are written when a file could not
  be read, ConfigError or WeightsError when `workdir` does not hold a run.
  """
  folder, videos = Path(workdir), find_videos(paths)
  config = workdirs.load_config(folder)
  classes, manifest_sha256 = load_identity(folder)
  mesh = sharding.make_mesh()
  begin = startup.prepare(config, classes, manifest_sha256, folder, mesh, steps=1, clips=lambda: ())
  best = begin.saver.restore(begin.state, begin.saver.store.best())
  spans: dict[int, Any] = {}
  batches = _clips(videos, config, config.eval.views, spans)
  found = evaluate.predict(begin.model, best.params, best.batch_stats, begin.pixels, batches, mesh)
  bad = {str(videos[row]): reason for row, reason in spans.items() if isinstance(reason, str)}
  with contextlib.nullcontext(sys.stdout) if output == "-" else Path(output).open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["path", "start_s", "end_s", "label", "probability", *(f"p_{c}" for c in classes)])
    for row, probs in zip(found.rows, found.probs, strict=True):
      times = spans[int(row)]
      table.writerow([videos[row], f"{times.min():.3f}", f"{times.max():.3f}", classes[probs.argmax()],
                      f"{probs.max():.4f}", *(f"{p:.4f}" for p in probs)])
  if bad:
    lines = "\n".join(f"  {path}: {reason}" for path, reason in bad.items())
    raise DataError(f"{len(bad)} of {len(videos)} files could not be read; the others are done.\n{lines}")
