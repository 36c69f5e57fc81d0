"""What a finished run says of videos: its own splits as CSV, and any file or folder."""
import contextlib
import dataclasses
import glob
import io
import json
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import calibration, conformal, coverage, evaluate, mirror, sharding, shards, startup, storage, tasks
from vft import sequences as whole
from vft import workdir as workdirs
from vft.data import manifest as manifests
from vft.data import readers, sampling, sequences
from vft.data.sources import Source
from vft.data.sources.folder import FolderSource
from vft.errors import ConfigError, DataError

Video = Path | str  # a file or a folder of frames; those at s3:// and the like stay text
NEAR_S = 5.0  # windows with a smaller gap are decoded in one go, which is faster than a seek to each


def write_predictions(path: Path, found: evaluate.Predictions, manifest: manifests.Manifest) -> None:
  """One line per video: id, path, group, the label of each task, then tasks.columns (the mean over views).

  Probabilities are as the model gives them, before calibration, with all digits of float32.
  """
  path.parent.mkdir(parents=True, exist_ok=True)
  names = [t.name for t in manifest.tasks]
  table = manifest.table.iloc[found.rows][["id", "path", "group", *names]].reset_index(drop=True)
  said = _columns(manifest.tasks, found.outputs)
  pd.concat([table, pd.DataFrame(said)], axis=1).to_csv(path, index=False, float_format="%.9g")


def read_predictions(path: Path, manifest: manifests.Manifest) -> evaluate.Predictions:
  """What `write_predictions` wrote, for the rows with these ids in `manifest`; a regression to its six digits."""
  table = pd.read_csv(path, dtype={"id": str}, keep_default_na=False)
  rows = pd.Series(manifest.table.row.to_numpy(), index=manifest.table.id)[table.id].to_numpy()
  outputs = {}
  for task in manifest.tasks:
    prefix = "" if len(manifest.tasks) == 1 else f"{task.name}_"
    columns = [f"{prefix}p_{c}" for c in task.classes] or [f"{prefix}predicted"]
    outputs[task.name] = table[columns].to_numpy(np.float32)
  return evaluate.Predictions(rows, outputs)


def load_kept(folder: Path) -> tuple[manifests.Manifest, dict[str, evaluate.Predictions]]:
  """What a finished run has kept: its manifest, and the predictions of "val" and "test". The data need not be there."""
  config, (wanted, _) = workdirs.load_config(folder), load_identity(folder)
  grouped_by = json.loads((folder / "result.json").read_text())["data"]["grouped_by"]
  nowhere = cast(Source, FolderSource(os.sep, follow_links=True))
  plain = manifests.Manifest(manifests.read_table(folder / "manifest.csv", wanted), wanted, grouped_by, nowhere)
  manifest = sequences.make(plain, config)
  return manifest, {s: read_predictions(folder / f"predictions_{s}.csv", manifest) for s in ("val", "test")}


def load_sets(folder: Path, share: float) -> coverage.Entries:
  """`coverage.measure` of a finished run. Raises ConfigError and DataError as that does."""
  conformal.check(share)
  config, (manifest, found) = workdirs.load_config(folder), load_kept(folder)
  return coverage.measure((found["val"], manifest), (found["test"], manifest), config, share)


def load_calibration(folder: Path) -> dict[str, dict[str, Any]]:
  """calibration.json of a run; {} where it was made without."""
  path = folder / "calibration.json"
  return json.loads(path.read_text()) if path.is_file() else {}


def _calibrated_columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray],
                        entries: dict[str, dict[str, Any]]) -> dict[str, Any]:
  """at_threshold (where validation gave a threshold) and calibrated_<class> of the tasks that have an entry."""
  columns = {}
  for task in (t for t in wanted if t.name in entries):
    prefix, entry = "" if len(wanted) == 1 else f"{task.name}_", entries[task.name]
    probs = calibration.apply(outputs[task.name], entry)
    if entry["thresholds"] is not None:
      columns[f"{prefix}at_threshold"] = tasks.decide(task, probs, calibration.thresholds(entry))
    columns |= {f"{prefix}calibrated_{c}": probs[:, k] for k, c in enumerate(task.classes)}
  return columns


def _set_columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray], sets: coverage.Entries,
                 config: ConfigDict) -> dict[str, Any]:
  """The sets of what a line is: a video, a window or moment of one, or a patient."""
  level = "patient" if config.sequence.unit == "patient" else "video"
  parts = [coverage.columns(t, outputs[t.name], sets[t.name][level], len(wanted) == 1) for t in wanted
           if t.name in sets]
  return {k: v for part in parts for k, v in part.items()}


def _columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray]) -> dict[str, Any]:
  return {k: v for t in wanted for k, v in tasks.columns(t, outputs[t.name], len(wanted) == 1).items()}


def find_videos(paths: list[str]) -> list[Video]:
  """Files as they are, folders searched for files, patterns (*, ?, **) expanded; - is a list on standard input.

  Raises DataError where nothing is found.
  """
  paths = [path for given in paths for path in _expanded(given)]
  found: list[Video] = []
  for url in (p for p in paths if storage.is_remote(p)):
    found += _find_remote(url)
  for path in (Path(p) for p in paths if not storage.is_remote(p)):
    if not path.exists():
      raise DataError(f"There is no file or folder {str(path)!r}.")
    inside = sorted(p for p in path.rglob("*") if p.is_file() and not p.name.startswith("."))
    inside = [p.parent if p.suffix.lower() in readers.IMAGES else p for p in inside]  # a folder of frames is one video
    found += dict.fromkeys(inside) if path.is_dir() else [path]
  if not found:
    raise DataError(f"No files in {', '.join(paths)}.")
  return found


def _expanded(path: str) -> list[str]:
  """What - or a pattern stands for; anything else, and a file whose name looks like a pattern, as it is."""
  if path == "-":
    return [line.strip() for line in sys.stdin if line.strip()]
  if storage.is_remote(path) or Path(path).exists() or not glob.has_magic(path):
    return [path]
  if not (found := sorted(glob.glob(path, recursive=True))):
    raise DataError(f"Nothing matches {path!r}.")
  return found


def formatted(text: str, output: str) -> str:
  """A table as CSV, or as a list of objects where `output` ends in .json."""
  if not output.endswith(".json") or not text:
    return text
  return pd.read_csv(io.StringIO(text), dtype={"path": str}).to_json(orient="records", indent=1) + "\n"


def _find_remote(url: str) -> list[Video]:
  """A remote file, or those below a remote folder."""
  try:
    if storage.about(url):
      return [url]
    found = storage.find(url)
  except OSError as e:
    raise DataError(f"There is no file or folder {url!r} ({storage.reason(e)}).") from None
  return [storage.join(url, name) for name in found if not name.rpartition("/")[2].startswith(".")]


def _clips(paths: Sequence[Video], config: ConfigDict, seen: list[tuple[Video, np.ndarray]],
           bad: dict[Video, str]) -> Iterator[dict[str, Any]]:
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


def _read(path: Video, times: np.ndarray, config: ConfigDict) -> np.ndarray:
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
  result = json.loads(path.read_text())
  if "folds" in result:
    raise ConfigError(f"{folder} holds a cross-validation, whose {result['folds']['count']} models each saw other "
                      f"patients.\nGive the folder of one of them, such as {folder / 'fold_1'}.")
  data = result["data"]
  return tasks.from_json(data["tasks"]), data["sha256"]


Found = tuple[dict[str, Any], dict[str, np.ndarray], dict[Video, str]]  # first columns, outputs, unread with reasons


def _of_clips(videos: list[Video], config: ConfigDict, wanted: tuple[tasks.Task, ...], begin: startup.Prepared,
              mesh: jax.sharding.Mesh) -> Found:
  """A line per video or window of it."""
  seen: list[tuple[Video, np.ndarray]] = []
  unread: dict[Video, str] = {}
  found = evaluate.predict(begin.model, begin.state.best_params, begin.state.batch_stats, begin.pixels, wanted,
                           _clips(videos, config, seen, unread), mesh, config.eval.chunk)
  times = [seen[row][1] for row in found.rows]
  return {"path": [seen[row][0] for row in found.rows], "start_s": [f"{t.min():.3f}" for t in times],
          "end_s": [f"{t.max():.3f}" for t in times]}, found.outputs, unread


def _of_sequences(videos: list[Video], config: ConfigDict, wanted: tuple[tasks.Task, ...], begin: startup.Prepared,
                  mesh: jax.sharding.Mesh) -> Found:
  """A line per moment of a video, from it to the next, or per patient."""
  made, bad = sequences.of_files([str(v) for v in videos], wanted, config)
  unread: dict[Video, str] = {**bad}
  found, failed = whole.predict(begin.model, begin.state, begin.pixels, made, config, mesh)
  for row in sorted(failed, reverse=True):
    clip = made.shown.table.loc[row]
    unread[str(clip.path)] = f"the clip from {clip.start_s:.2f} to {clip.end_s:.2f} s cannot be decoded"
  rows = made.table.iloc[found.rows]
  if config.sequence.unit == "patient":
    return {"path": rows.group.tolist()}, found.outputs, unread
  number = {int(row): i for moments in made.members for i, row in enumerate(moments)}
  starts = np.array([number[int(row)] for row in found.rows]) / config.sequence.fps
  return {"path": rows.path.tolist(), "start_s": [f"{t:.3f}" for t in starts],
          "end_s": [f"{t:.3f}" for t in starts + 1 / config.sequence.fps]}, found.outputs, unread


def load_run(folder: Path) -> tuple[ConfigDict, tuple[tasks.Task, ...], startup.Prepared]:
  """Config, tasks and best state of a finished run. Raises ConfigError or WeightsError where the folder has none."""
  config = workdirs.load_config(folder)
  wanted, manifest_sha256 = load_identity(folder)
  begin = startup.prepare(config, wanted, manifest_sha256, folder, sharding.make_mesh(), steps=1, clips=lambda: ())
  return config, wanted, dataclasses.replace(begin, state=begin.saver.restore(begin.state, begin.saver.store.best()))


def predict_files(workdir: str, paths: list[str], output: str, shard: shards.Shard | None = None,
                  share: float | None = None) -> None:
  """Writes path, start_s, end_s, tasks.columns and, where the run has calibrated, those columns of every video as CSV.

  Times are those of the frames seen, in seconds. Of procedures there is a line per moment, of patients (the files of
  one folder are one) one without times. Raises DataError after the others are written when a file could not be read,
  ConfigError or WeightsError when `workdir` does not hold a run. A `shard` does its share of the videos; the last one
  to finish writes `output`, the others raise shards.Waiting.

  With a coverage `share` come conformal sets, as `coverage.columns`; standard error has how well they did on test.

  >>> predict_files("run", ["p0_0.mp4"], "predictions.csv")
  >>> pd.read_csv("predictions.csv").columns.tolist()[:5]
  ['path', 'start_s', 'end_s', 'predicted', 'p_fast']
  """
  if shard and output == "-":
    raise ConfigError("Shares of one work need a file that all of them see: add --output=FILE.")
  folder, videos = mirror.fetched(workdir), find_videos(paths)
  sets = None if share is None else load_sets(folder, share)
  for task, levels in (sets or {}).items():
    print("\n".join(coverage.described(task, level, entry) for level, entry in levels.items()), file=sys.stderr)
  if shard:
    unread = _in_shares(folder, videos, Path(output), shard, sets)
  else:
    text, unread = _table(folder, videos, sets)
    _write_text(output, formatted(text, output))
  if unread:
    lines = "\n".join(f"  {path}: {reason}" for path, reason in unread.items())
    raise DataError(f"{len(unread)} of {len(videos)} files could not be read; the others are done.\n{lines}")


def _table(folder: Path, videos: list[Video], sets: coverage.Entries | None) -> tuple[str, dict[Video, str]]:
  """The CSV file of videos, and those that could not be read."""
  config, wanted, begin = load_run(folder)
  lines_of = _of_clips if config.sequence.unit == "clip" else _of_sequences
  first, outputs, unread = lines_of(videos, config, wanted, begin, sharding.make_mesh())
  table = pd.DataFrame({**first, **_columns(wanted, outputs),
                        **_calibrated_columns(wanted, outputs, load_calibration(folder)),
                        **_set_columns(wanted, outputs, sets or {}, config)})
  return table.to_csv(index=False, float_format="%.4f", lineterminator="\r\n"), unread


def _write_text(output: str, text: str) -> None:
  with contextlib.nullcontext(sys.stdout) if output == "-" else Path(output).open("w", newline="") as file:
    file.write(text)


def _in_shares(folder: Path, videos: list[Video], output: Path, shard: shards.Shard,
               sets: coverage.Entries | None) -> dict[Video, str]:
  """Does a share, and, where all are done, writes the table as one run would; those that could not be read.

  The files of one folder stay together where they are one patient.
  """
  config = workdirs.load_config(folder)
  names = [_owner_of(v, config) for v in videos]
  order = {name: i for i, name in enumerate(dict.fromkeys(names))}
  mine = set(shard.share(list(order)))
  parts = shards.Parts(output.with_name(f"{output.name}.shards"), shard,
                       [(folder / "result.json").read_text(), names, [str(v) for v in videos], sets])

  def work() -> dict[str, Any]:
    text, unread = _table(folder, [v for v, name in zip(videos, names, strict=True) if name in mine], sets)
    return {"text": text, "unread": [[str(path), reason] for path, reason in unread.items()]}

  load_identity(folder)  # whether it is finished
  shards.run(parts, work if mine else lambda: {"text": "", "unread": []})
  with parts.merged() as found:
    texts = [io.StringIO(part["text"]) for part in found if part["text"]]
    table = pd.concat([pd.read_csv(t, dtype=str, keep_default_na=False) for t in texts], ignore_index=True)
    place = [order[p] for p in table.path]
    partial = output.with_name(f"{output.name}.tmp")
    text = table.iloc[np.argsort(place, kind="stable")].to_csv(index=False, lineterminator="\r\n")
    _write_text(str(partial), formatted(text, str(output)))
    partial.replace(output)
  return {path: reason for part in found for path, reason in part["unread"]}


def _owner_of(video: Video, config: ConfigDict) -> str:
  """What the lines of a video have as their path: its name, or the folder of a patient."""
  if config.sequence.unit == "clip":
    return str(video)
  whole_name = str(video) if storage.is_remote(video) else os.path.abspath(video)
  return storage.parent(whole_name) if config.sequence.unit == "patient" else whole_name
