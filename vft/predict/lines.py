"""What a model says of files: a line per video, window, moment or patient."""
import dataclasses
from typing import Any

import jax
import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import calibration, coverage, evaluate, metrics, startup, tasks
from vft import sequences as whole
from vft.data import sequences
from vft.predict import clips, kept
from vft.predict.videos import Video


@dataclasses.dataclass(frozen=True)
class Lines:
  """Of each line the file or patient, its first and last second (n,) (None of patients), {task: outputs (n, K)}."""
  path: list[str]
  start_s: np.ndarray | None
  end_s: np.ndarray | None
  outputs: dict[str, np.ndarray]
  unread: dict[Video, str]  # with reasons


def of_files(videos: list[Video], config: ConfigDict, wanted: tuple[tasks.Task, ...], begin: startup.Prepared,
             mesh: jax.sharding.Mesh) -> Lines:
  """What the run says of them."""
  return (_of_clips if config.sequence.unit == "clip" else _of_sequences)(videos, config, wanted, begin, mesh)


def _of_clips(videos: list[Video], config: ConfigDict, wanted: tuple[tasks.Task, ...], begin: startup.Prepared,
              mesh: jax.sharding.Mesh) -> Lines:
  """A line per video or window of it."""
  seen: list[tuple[Video, np.ndarray]] = []
  unread: dict[Video, str] = {}
  found = evaluate.predict(begin.model, begin.state.best_params, begin.state.batch_stats, begin.pixels, wanted,
                           clips.batches(videos, config, seen, unread), mesh, config.eval.chunk)
  times = [seen[row][1] for row in found.rows]
  return Lines([str(seen[row][0]) for row in found.rows], np.array([t.min() for t in times]),
               np.array([t.max() for t in times]), found.outputs, unread)


def _of_sequences(videos: list[Video], config: ConfigDict, wanted: tuple[tasks.Task, ...], begin: startup.Prepared,
                  mesh: jax.sharding.Mesh) -> Lines:
  """A line per moment of a video, from it to the next or the end, or per patient."""
  made, bad = sequences.of_files([str(v) for v in videos], wanted, config)
  unread: dict[Video, str] = {**bad}
  found, failed = whole.predict(begin.model, begin.state, begin.pixels, made, config, mesh)
  for row in sorted(failed, reverse=True):
    clip = made.shown.table.loc[row]
    unread[str(clip.path)] = f"the clip from {clip.start_s:.2f} to {clip.end_s:.2f} s cannot be decoded"
  rows = made.table.iloc[found.rows]
  if config.sequence.unit == "patient":
    return Lines(rows.group.tolist(), None, None, found.outputs, unread)
  number = {int(row): i for moments in made.members for i, row in enumerate(moments)}
  starts = np.array([number[int(row)] for row in found.rows]) / config.sequence.fps
  ends = np.minimum(starts + 1 / config.sequence.fps, rows.duration_s.to_numpy(np.float64))
  return Lines(rows.path.tolist(), starts, ends, found.outputs, unread)


def calibrated(lines: Lines, entries: dict[str, dict[str, Any]]) -> Lines:
  """The same with calibrated probabilities, for the tasks that have an entry."""
  outputs = {name: calibration.apply(values, entries[name]) if name in entries else values
             for name, values in lines.outputs.items()}
  return dataclasses.replace(lines, outputs=outputs)


def table(lines: Lines, wanted: tuple[tasks.Task, ...], entries: dict[str, dict[str, Any]], sets: coverage.Entries,
          level: str) -> pd.DataFrame:
  """path, start_s, end_s, kept.columns and, where there are such entries, calibrated ones and sets of this `level`."""
  times = {} if lines.start_s is None or lines.end_s is None else {
      "start_s": [f"{t:.3f}" for t in lines.start_s], "end_s": [f"{t:.3f}" for t in lines.end_s]}
  out = lines.outputs
  after = {t.name: calibration.apply(out[t.name], entries[t.name]) for t in wanted if t.name in entries}
  return pd.DataFrame({"path": lines.path, **times, **_columns(wanted, out, after, entries, sets, level)})


def pooled(lines: Lines, groups: dict[str, str], wanted: tuple[tasks.Task, ...], entries: dict[str, dict[str, Any]],
           sets: coverage.Entries) -> pd.DataFrame:
  """group, lines (how many there were) and the columns of `table`: means over the lines of a patient.

  As in the run's figures of patients, probabilities are pooled after the temperature.
  """
  named = [groups[path] for path in lines.path]
  def mean(values: np.ndarray) -> np.ndarray:
    found = metrics.pool(values, np.zeros(len(values), np.int64), named)
    assert found is not None
    return found[0]
  outputs = {name: mean(values) for name, values in lines.outputs.items()}
  after = {t.name: mean(calibration.apply(lines.outputs[t.name], entries[t.name])) for t in wanted
           if t.name in entries}
  names, counts = np.unique(np.array(named, str), return_counts=True)
  return pd.DataFrame({"group": names, "lines": counts,
                       **_columns(wanted, outputs, after, entries, sets, "patient")})


def _columns(wanted: tuple[tasks.Task, ...], outputs: dict[str, np.ndarray], calibrated: dict[str, np.ndarray],
             entries: dict[str, dict[str, Any]], sets: coverage.Entries, level: str) -> dict[str, Any]:
  """kept.columns; at_threshold (where validation gave one) and calibrated_<class>; those of coverage."""
  columns, alone = kept.columns(wanted, outputs), len(wanted) == 1
  for task in (t for t in wanted if t.name in calibrated):
    prefix, entry, probs = "" if alone else f"{task.name}_", entries[task.name], calibrated[task.name]
    if entry["thresholds"] is not None:
      columns[f"{prefix}at_threshold"] = tasks.decide(task, probs, calibration.thresholds(entry))
    columns |= {f"{prefix}calibrated_{c}": probs[:, k] for k, c in enumerate(task.classes)}
  for task in (t for t in wanted if t.name in sets):
    columns |= coverage.columns(task, outputs[task.name], sets[task.name][level], alone)
  return columns
