"""Along a video: smoothed outputs, and its segments of one label."""
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from vft import tasks
from vft.metrics.segments import segments as runs_of
from vft.predict.lines import Lines

NONE: Mapping[str, Any] = {}
GAP = 1.5  # steps between the middles of two lines, from which on something is missing between them


def smooth(lines: Lines, width_s: float) -> Lines:
  """Outputs become the mean over the lines of the same video whose middle is at most `width_s` / 2 from its own."""
  outputs = {name: np.array(values, np.float64) for name, values in lines.outputs.items()}
  for rows, middle in _videos(lines):
    low = np.searchsorted(middle, middle - width_s / 2 - 1e-6)
    high = np.searchsorted(middle, middle + width_s / 2 + 1e-6)
    for name, values in lines.outputs.items():
      sums = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values[rows], axis=0, dtype=np.float64)])
      outputs[name][rows] = (sums[high] - sums[low]) / (high - low)[:, None]
  return dataclasses.replace(lines, outputs=outputs)


def segments(lines: Lines, wanted: Sequence[tasks.Task], step_s: float,
             thresholds: Mapping[str, Any] = NONE) -> pd.DataFrame:
  """path, start_s, end_s, predicted, probability (its mean), lines: of each run of lines of a video with one label.

  A segment begins halfway between the middles of two lines, the first one where its line does; one ends, too, where
  lines `step_s` apart are missing. Of many labels each has its own segments. With several tasks: a column task.
  `thresholds` of tasks decide as in `tasks.decide`.
  """
  found: list[dict[str, Any]] = []
  for rows, middle in _videos(lines):
    for task in (t for t in wanted if t.kind != "regression"):
      name = {"task": task.name} if len(wanted) > 1 else {}
      of_video = [{"path": lines.path[rows[0]], "start_s": start, "end_s": end, **name, "predicted": label,
                   "probability": p, "lines": count}
                  for start, end, label, p, count in _of_task(
                         task, thresholds.get(task.name), lines, rows, middle, step_s)]
      found += sorted(of_video, key=lambda row: row["start_s"])
  names = ["path", "start_s", "end_s", *(["task"] if len(wanted) > 1 else []), "predicted", "probability", "lines"]
  table = pd.DataFrame(found, columns=names)
  return table.assign(**{c: [f"{t:.3f}" for t in table[c]] for c in ("start_s", "end_s")})


def _of_task(task: tasks.Task, thresholds: Any, lines: Lines, rows: np.ndarray, middle: np.ndarray,
             step_s: float) -> Iterator[tuple[float, float, str, float, int]]:
  probs = lines.outputs[task.name][rows]
  number = {name: k for k, name in enumerate(task.classes)}
  chosen = [np.array([number[c] for c in tasks.decide(task, probs, thresholds)])] if task.kind != "multi" else [
      np.where(there, k, -1) for k, there in enumerate((probs >= (0.5 if thresholds is None else thresholds)).T)]
  assert lines.start_s is not None and lines.end_s is not None
  first, last = lines.start_s[rows], lines.end_s[rows]
  parts = np.split(np.arange(len(rows)), np.flatnonzero(np.diff(middle) > GAP * step_s) + 1)
  for labels in chosen:
    for part in parts:
      halves = (middle[part][1:] + middle[part][:-1]) / 2
      cuts = np.concatenate([[first[part[0]]], halves, [last[part[-1]]]])
      for start, end, label in zip(*runs_of(labels[part]), strict=True):
        yield (float(cuts[start]), float(cuts[end]), task.classes[label],
               float(probs[part[start:end], label].mean()), int(end - start))


def _videos(lines: Lines) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Of each video its rows in order of time and their middles in seconds."""
  assert lines.start_s is not None and lines.end_s is not None
  middle = (lines.start_s + lines.end_s) / 2
  number, _ = pd.factorize(np.array(lines.path, object))
  for video in range(number.max(initial=-1) + 1):
    rows = np.flatnonzero(number == video)
    rows = rows[np.argsort(middle[rows], kind="stable")]
    yield rows, middle[rows]
