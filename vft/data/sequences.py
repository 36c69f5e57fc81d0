"""What gets one answer from more than one clip: the moments of whole procedures, and the patients of many clips."""
import dataclasses
import hashlib
import os
from typing import cast

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import storage
from vft.data import readers
from vft.data.manifest import COLUMNS, Manifest
from vft.data.sampling import Sampler
from vft.data.sources import Source
from vft.data.sources.folder import FolderSource
from vft.errors import DataError
from vft.tasks import Task


@dataclasses.dataclass(frozen=True)
class Sequences(Manifest):
  """A manifest made of another one. Its rows get the answers: the moments of videos, or the patients.

  clips: the manifest of what passes the trunk; None = this one.
  members: of each sequence the rows (S,) of `clips`, in order of time for a video; patient i is row i.
  origin: the manifest that was saved.
  """
  clips: Manifest | None = None
  members: tuple[np.ndarray, ...] = ()
  origin: Manifest | None = None

  @property
  def sha256(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
    """Hex digest of the manifest that was saved: what this one is made of."""
    assert self.origin is not None
    return self.origin.sha256

  @property
  def shown(self) -> Manifest:
    """The manifest of the clips that are decoded."""
    return self.clips or self

  def sequences(self, split: str) -> np.ndarray:
    """(n,) places in `members` of the sequences of a split."""
    answered = range(len(self.members)) if self.unit == "patient" else [int(rows[0]) for rows in self.members]
    return np.flatnonzero(np.isin(answered, self.rows(split)))

  def clip_rows(self, split: str) -> np.ndarray:
    """(N,) int64 rows of `shown` of the clips of a split."""
    chosen = [self.members[i] for i in self.sequences(split)]
    return np.concatenate(chosen) if chosen else np.zeros(0, np.int64)

  def count(self, split: str) -> int:
    """Sequences of a split."""
    return len(self.sequences(split))

  def answered(self, sequence: int) -> np.ndarray:
    """The rows that a sequence gives answers for: all moments of a video, or the patient."""
    return np.array([sequence]) if self.unit == "patient" else self.members[sequence]


def make(manifest: Manifest, config: ConfigDict) -> Manifest:
  """The manifest as config.sequence.unit asks for: itself for clips. Raises DataError where labels contradict."""
  if config.sequence.unit == "clip":
    return manifest
  return moments(manifest, config) if config.sequence.unit == "video" else patients(manifest)


def of_files(paths: list[str], wanted: tuple[Task, ...], config: ConfigDict) -> tuple[Sequences, dict[str, str]]:
  """Files without labels, all in the split test, as config.sequence asks for; and why some cannot be read.

  For patients the files of one folder are one.
  """
  rows, bad = [], {}
  for path in (p if storage.is_remote(p) else os.path.abspath(p) for p in paths):
    try:
      seconds = round(readers.probe(path, **readers.options(config.data)).duration_s, 6)  # as a manifest has it
    except DataError as e:
      bad[path] = str(e)
      continue
    rows.append({**dict.fromkeys((*COLUMNS, *(t.name for t in wanted)), ""), "row": len(rows), "id": path,
                 "video": path, "path": path, "start_s": 0.0, "end_s": seconds, "duration_s": seconds,
                 "group": os.path.dirname(path), "split": "test", "status": "ok"})
  table = pd.DataFrame(rows, columns=[*COLUMNS[:6], *(t.name for t in wanted), *COLUMNS[6:]])
  plain = Manifest(table, wanted, "patient", cast(Source, FolderSource(os.sep, follow_links=True)))
  made = make(plain, config)
  assert isinstance(made, Sequences)
  return made, bad


def moments(manifest: Manifest, config: ConfigDict) -> Sequences:
  """Each video as moments 1 / sequence.fps s apart, from its start to the end of its last labelled span.

  A moment t is the clip of data.num_frames frames that ends at t, and has the labels of the spans around t: none where
  there is no span, so that it only serves the moments after it. Raises DataError where spans of one task overlap, or
  those of one video are in two splits.
  """
  fps, (before_s, after_s) = config.sequence.fps, around_s(config)
  parts, sizes = [], []
  for path, spans in manifest.table.groupby("path", sort=False):
    good = spans[spans.status == "ok"]
    if good.empty:
      parts.append(spans)
      continue
    if good.split.nunique() > 1 or good.group.nunique() > 1:
      raise DataError(f"{path!r} is in the splits {sorted(set(good.split))} and the groups {sorted(set(good.group))}; "
                      "a procedure as a whole can only be in one of each.")
    times = np.arange(max(1, round(float(good.end_s.max()) * fps))) / fps
    first = good.iloc[0]
    end = np.minimum(times + after_s, first.duration_s)
    part = pd.DataFrame({**{c: [first[c]] * len(times) for c in manifest.table.columns},
                         "start_s": np.maximum(times - before_s, 0.0), "end_s": end,
                         "id": [f"{first.video}@{t:g}" for t in times],
                         **{t.name: _at(times, good, t.name, str(path)) for t in manifest.tasks}})
    parts.append(part)
    sizes.append((sum(map(len, parts[:-1])), len(part)))
  table = pd.concat(parts, ignore_index=True)[manifest.table.columns] if parts else manifest.table.copy()
  table["row"] = np.arange(len(table))
  members = tuple(np.arange(start, start + size) for start, size in sizes)
  return Sequences(table, manifest.tasks, manifest.grouped_by, manifest.source, manifest.warnings, "video",
                   None, members, manifest)


def around_s(config: ConfigDict) -> tuple[float, float]:
  """How long before a moment its clip begins, and after it its span ends, where the frame of the moment is the last."""
  sampler = Sampler.make(config.data)
  return (sampler.num_frames - 1) / sampler.fps, 0.5 / sampler.fps


def _at(times: np.ndarray, spans: pd.DataFrame, task: str, path: str) -> list[str]:
  """Times (S,) -> cells of the spans around them, "" where there is none."""
  spans = spans[spans[task] != ""].sort_values("start_s", kind="stable")
  starts, ends, cells = spans.start_s.to_numpy(), spans.end_s.to_numpy(), spans[task].to_numpy(object)
  # Of the spans up to each the one that ends last: with one label, spans may lie in each other.
  last = np.maximum.accumulate(np.where(ends == np.maximum.accumulate(ends), np.arange(len(ends)), 0))
  overlap = np.flatnonzero((starts[1:] < ends[last[:-1]] - 1e-6) & (cells[1:] != cells[last[:-1]]))
  if len(overlap):
    i, then = int(last[overlap[0]]), int(overlap[0]) + 1
    raise DataError(f"{path!r}: {task} is {cells[i]!r} from {starts[i]:g} to {ends[i]:g} s and {cells[then]!r} from "
                    f"{starts[then]:g} s.\nExpected one label at a time: end the first span where the second begins, "
                    "or make them two tasks, each with a column of its own.")
  place = np.searchsorted(starts, times + 1e-6, side="right") - 1
  return [cells[last[i]] if i >= 0 and t < ends[last[i]] - 1e-6 else "" for i, t in zip(place, times, strict=True)]


def patients(manifest: Manifest) -> Sequences:
  """One row per group, with the labels that its clips agree on. Raises DataError where they do not."""
  rows, members = [], []
  for group, clips in manifest.table.groupby("group", sort=False):
    good = clips[clips.status == "ok"]
    labels = {t.name: sorted(set(good[t.name]) - {""}) for t in manifest.tasks}
    for task, found in labels.items():
      if len(found) > 1:
        raise DataError(f"The clips of {group!r} have several labels of {task}: {found}.\nExpected one per patient "
                        "where config.sequence.unit is 'patient'; labels that belong to a clip need unit='clip'.")
    first = (clips if good.empty else good).iloc[0]
    digest = hashlib.sha256("".join(clips.sha256).encode()).hexdigest()
    rows.append({**first[[*COLUMNS]], "id": group, "video": group, "sha256": digest,
                 **{task: found[0] if found else "" for task, found in labels.items()}})
    members.append(good.row.to_numpy(np.int64))
  table = pd.DataFrame(rows, columns=manifest.table.columns).astype(manifest.table.dtypes)
  table["row"] = np.arange(len(table))
  return Sequences(table, manifest.tasks, manifest.grouped_by, manifest.source, manifest.warnings, "patient",
                   manifest, tuple(members), manifest)
