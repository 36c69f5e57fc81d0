"""What a finished run says of videos: its own splits as CSV, and any file or folder."""
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import evaluate, sharding, startup, tasks
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import readers, sampling
from vft.errors import ConfigError, DataError

NEAR_S = 5.0  # windows with a smaller gap are decoded in one go, which is faster than a seek to each


def write_predictions(path: Path, found: evaluate.Predictions, manifest: manifests.Manifest) -> None:
  """One line per video: id, path, group, the label of each task, then tasks.columns (the mean over views)."""
  names = [t.name for t in manifest.tasks]
  table = manifest.table.iloc[found.rows][["id", "path", "group", *names]].reset_index(drop=True)
  said = _columns(manifest.tasks, found.outputs)
  pd.concat([table, pd.DataFrame(said)], axis=1).to_csv(path, index=False, float_format="%.6f")


def _columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray]) -> dict[str, Any]:
  return {k: v for t in wanted for k, v in tasks.columns(t, outputs[t.name], len(wanted) == 1).items()}


def find_videos(paths: list[str]) -> list[Path]:
  """Files as they are, folders searched for files. Raises DataError where nothing is found."""
  found = []
  for path in map(Path, paths):
    if not path.exists():
      raise DataError(f"There is no file or folder {str(path)!r}.")
    inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    inside = [p.parent if p.suffix.lower() in readers.IMAGES else p for p in inside]  # a folder of frames is one video
    found += dict.fromkeys(inside) if path.is_dir() else [path]
  if not found:
    raise DataError(f"No files in {', '.join(paths)}.")
  return found


def _clips(paths: list[Path], config: ConfigDict, seen: list[tuple[Path, np.ndarray]],
           bad: dict[Path, str]) -> Iterator[dict[str, Any]]:
  """Batches of clips of one video each. Row i is described by seen[i]: the file and the seconds (V, T) of its frames.

  A file that cannot be read gets its reason in `bad`; clips before a fault stay.
  """
  devices = jax.device_count()
  size = -(-config.features.batch // devices) * devices if config.data.stride_s else devices
  for path in paths:
    try:
      times = _times(readers.probe(str(path), **readers.options(config.data)).duration_s, config)
      for start in range(0, len(times), size):
        part = times[start:start + size]
        video, rows, pad = _read(path, part, config), len(seen) + np.arange(len(part)), size - len(part)
        seen += [(path, t) for t in part]
        yield {"video": np.pad(video, [(0, pad)] + [(0, 0)] * 5), "copy": np.zeros(size, np.int32),
               "row": np.pad(rows, (0, pad), constant_values=-1).astype(np.int32), "mask": np.arange(size) < len(part)}
    except DataError as e:
      bad[path] = str(e)


def _times(duration_s: float, config: ConfigDict) -> np.ndarray:
  """(n, V, T) seconds: one line of the table each; n windows with one view, or all views of the whole video."""
  sampler, views = sampling.Sampler.make(config.data), config.eval.views
  if config.data.stride_s:
    return sampler.windows(duration_s, config.data.stride_s)[:, None]
  return np.stack([sampler.times(duration_s, view=v, views=views) for v in range(views)])[None]


def _read(path: Path, times: np.ndarray, config: ConfigDict) -> np.ndarray:
  """(n, V, T) seconds -> (n, V x crops, T, R, R, 3); windows close to each other are decoded in one go."""
  (n, v, t), d, crops = times.shape, config.data, config.eval.crops
  one_go = 0 < d.stride_s < np.ptp(times[0]) + NEAR_S
  parts = [readers.read_clip(str(path), some, resize=d.resize, crops=crops, **readers.options(d)).reshape(
      crops, -1, t, d.resize, d.resize, 3) for some in (times.reshape(1, -1) if one_go else times.reshape(-1, t))]
  video = np.concatenate(parts, axis=1).swapaxes(0, 1)  # (n V, crops, T, R, R, 3)
  return video.reshape(n, v * crops, *video.shape[2:])


def load_identity(folder: Path) -> tuple[tuple[tasks.Task, ...], str]:
  """Tasks of a finished run and the sha256 of its manifest. The data itself need not be there."""
  path = folder / "result.json"
  if not path.is_file():
    raise ConfigError(f"{folder} holds no finished run: it has no result.json.\nRun its command again to finish it.")
  data = json.loads(path.read_text())["data"]
  return tasks.from_json(data["tasks"]), data["sha256"]


def predict_files(workdir: str, paths: list[str], output: str) -> None:
  """Writes path, start_s, end_s and tasks.columns of every video as CSV.

  Times are those of the frames seen, in seconds. Raises DataError after the others are written when a file could not
  be read, ConfigError or WeightsError when `workdir` does not hold a run.
  """
  folder, videos = Path(workdir), find_videos(paths)
  config = workdirs.load_config(folder)
  wanted, manifest_sha256 = load_identity(folder)
  mesh = sharding.make_mesh()
  begin = startup.prepare(config, wanted, manifest_sha256, folder, mesh, steps=1, clips=lambda: ())
  best = begin.saver.restore(begin.state, begin.saver.store.best())
  seen: list[tuple[Path, np.ndarray]] = []
  unread: dict[Path, str] = {}
  batches = _clips(videos, config, seen, unread)
  found = evaluate.predict(begin.model, best.params, best.batch_stats, begin.pixels, wanted, batches, mesh,
                           config.eval.chunk)
  times = [seen[row][1] for row in found.rows]
  table = pd.DataFrame({"path": [seen[row][0] for row in found.rows], "start_s": [f"{t.min():.3f}" for t in times],
                        "end_s": [f"{t.max():.3f}" for t in times], **_columns(wanted, found.outputs)})
  with contextlib.nullcontext(sys.stdout) if output == "-" else Path(output).open("w", newline="") as file:
    table.to_csv(file, index=False, float_format="%.4f", lineterminator="\r\n")
  if unread:
    lines = "\n".join(f"  {path}: {reason}" for path, reason in unread.items())
    raise DataError(f"{len(unread)} of {len(videos)} files could not be read; the others are done.\n{lines}")
