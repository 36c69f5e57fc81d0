"""What is wrong or odd in a data set: findings, worst first, each with its files and what to do."""
from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft.check.near import NEAR, near_pairs
from vft.data.inspection import Inspection
from vft.data.manifest import Manifest
from vft.data.sampling import Sampler

STOPS, WARNING, NOTE = "stops a run", "warning", "note"
BORDER = 0.05  # share of a side from which on black counts as a border
COMMON = 0.9  # share of files that must agree on a size for the others to be odd
MOST = 1000  # pairs that are listed


@dataclasses.dataclass(frozen=True)
class Finding:
  """One kind of fault. `items`: (paths, what is said of them); `count` is of all, also of those not listed."""
  key: str
  level: str
  title: str
  advice: str
  items: list[tuple[tuple[str, ...], str]]
  count: int = 0

  def to_json(self) -> dict[str, Any]:
    """As check.json holds it."""
    return {**dataclasses.asdict(self), "items": [{"paths": list(p), "says": s} for p, s in self.items]}


def find(manifest: Manifest, files: dict[str, Inspection], config: ConfigDict,
         changed: Iterable[str] = ()) -> list[Finding]:
  """All findings that have something to say. `changed`: files whose bytes are not those of an earlier manifest."""
  table = manifest.table
  usable = table[table.status == "ok"]
  found = [_patients(usable) if manifest.grouped_by == "patient" else None, *_copies(usable, manifest),
           _near(usable, files), _skipped(files), *_from_pixels(files), *_sizes(files, config),
           _of("changed", STOPS, "files have changed since the other manifest",
               "Their sha256 differs: find out who changed them, or check without --against.",
               [((p,), "other bytes") for p in changed])]
  levels = (STOPS, WARNING, NOTE)
  return sorted((f for f in found if f and f.count), key=lambda f: levels.index(f.level))


def _of(key: str, level: str, title: str, advice: str, items: list[tuple[tuple[str, ...], str]]) -> Finding:
  return Finding(key, level, title, advice, items[:MOST], len(items))


def _patients(usable: pd.DataFrame) -> Finding:
  counts = usable.groupby(["group", "split"], sort=False).size()
  shared = [(g, counts[g]) for g in dict.fromkeys(usable.group) if len(counts[g]) > 1]
  return _of("groups_in_two_splits", STOPS, "patients (groups) in more than one split",
             "Correct the split column, or leave it out: vft then splits by group.",
             [(tuple(dict.fromkeys(usable.path[usable.group == g]))[:4],
               f"{g}: " + ", ".join(f"{n} clips in {s}" for s, n in by.items())) for g, by in shared])


def _copies(usable: pd.DataFrame, manifest: Manifest) -> Iterator[Finding]:
  across, within, unlike = [], [], []
  names = [t.name for t in manifest.tasks]
  for _, rows in usable[usable.duplicated("sha256", keep=False)].groupby("sha256", sort=False):
    paths = tuple(dict.fromkeys(rows.path))
    if rows.split.nunique() > 1:
      across.append((paths, "in " + ", ".join(sorted(set(rows.split)))))
    elif len(paths) > 1:
      within.append((paths, f"in {rows.split.iloc[0] or 'no split'}"))
    said = [set(map(", ".join, span[names].to_numpy(str))) for _, span in rows.groupby(["start_s", "end_s"])]
    if len(paths) > 1 and (other := [labels for labels in said if len(labels) > 1]):
      unlike.append((paths, "; ".join(sorted(set.union(*other)))))
  yield _of("copies_across_splits", STOPS, "videos with equal bytes in two splits",
            "Remove the copies, or type --config.data.on_duplicate=drop: it keeps those in test.", across)
  yield _of("copies_with_other_labels", WARNING, "videos with equal bytes, but other labels",
            "One of the labels is wrong.", unlike)
  yield _of("copies_within_a_split", WARNING, "videos with equal bytes in one split",
            "They count several times: remove all but one.", within)


def _near(usable: pd.DataFrame, files: dict[str, Inspection]) -> Finding:
  """Pairs of different groups, those in two splits first."""
  first = usable.drop_duplicates("path").drop_duplicates("sha256")
  path, split, group = (first[c].tolist() for c in ("path", "split", "group"))
  pairs = [(split[i] == split[j], apart, i, j) for i, j, apart in near_pairs([files[p].hashes for p in path])
           if group[i] != group[j]]
  across = sum(not same for same, *_ in pairs)
  return _of("near_duplicates", WARNING if across else NOTE,
             f"pairs of videos look alike, {across} of them in two splits",
             "Look at both: the same video encoded again leaks from train into test. Give both the same group, or "
             f"remove one. (Less than {NEAR:.0%} of the bits of four perceptual hashes differ.)",
             [((path[i], path[j]), f"{split[i]}, {split[j]}: {apart:.1%} of the bits differ")
              for _, apart, i, j in sorted(pairs)])


def _skipped(files: dict[str, Inspection]) -> Finding:
  bad = [((path,), f.reason) for path, f in files.items() if f.reason]
  return _of("unusable", WARNING, "files cannot be used",
             "Copy or export them again, or leave them out; a run skips them.", bad)


def _from_pixels(files: dict[str, Inspection]) -> Iterator[Finding]:
  good = {p: f for p, f in files.items() if not f.reason}
  for note, title, advice in (
      ("black", "videos are all black", "Nothing can be learnt from them: remove them."),
      ("one value", "videos have one value only", "Nothing can be learnt from them: remove them."),
      ("still", "videos do not move", "The frames looked at are equal: a frozen screen, or a picture as a video."),
      ("one frame", "videos have one frame", "It is repeated to the length of a clip.")):
    yield _of(note.replace(" ", "_"), WARNING, title, advice,
              [((p,), f"{f.duration_s:g} s") for p, f in good.items() if note in f.notes])
  yield _of("burned_in", WARNING, "DICOM headers say that text is burned into the pixels",
            "A name may be readable: cover it by config.data.mask, or cut it off by config.data.crop='sector'.",
            [((p,), "Burned In Annotation: YES") for p, f in good.items() if f.burned_in])
  sides = ("left", "top", "right", "bottom")
  yield _of("borders", NOTE, "videos have black borders",
            "They waste pixels: cut them off before training, or for ultrasound type --config.data.crop=sector.",
            [((p,), ", ".join(f"{b:.0%} {s}" for b, s in zip(f.borders, sides, strict=True) if b >= BORDER))
             for p, f in good.items() if max(f.borders) >= BORDER])


def _sizes(files: dict[str, Inspection], config: ConfigDict) -> Iterator[Finding]:
  good = {p: f for p, f in files.items() if not f.reason}
  if not good:
    return
  (usual, n), = Counter((f.width, f.height) for f in good.values()).most_common(1)
  yield _of("odd_size", NOTE, f"videos are not {usual[0]} x {usual[1]} as the others", "Another device or export?",
            [((p,), f"{f.width} x {f.height}") for p, f in good.items() if (f.width, f.height) != usual]
            if n >= COMMON * len(good) else [])
  rate = float(np.median([f.fps for f in good.values()]))
  yield _of("odd_rate", NOTE, f"videos have a frame rate far from the median, {rate:.4g} Hz",
            "Frames are taken by time, so this is safe unless the rate in the file is wrong.",
            [((p,), f"{f.fps:.4g} Hz") for p, f in good.items() if not rate / 1.5 <= f.fps <= rate * 1.5])
  wanted = config.data.resize
  yield _of("small", NOTE, f"videos are smaller than config.data.resize, {wanted} pixels", "They are scaled up.",
            [((p,), f"{f.width} x {f.height}") for p, f in good.items() if min(f.width, f.height) < wanted])
  sampler = Sampler.make(config.data)
  clip_s = sampler.num_frames / sampler.fps
  yield _of("short", NOTE, f"videos are shorter than a clip, {clip_s:g} s", "Their last frame is repeated.",
            [((p,), f"{f.duration_s:.3g} s") for p, f in good.items()
             if f.duration_s < clip_s - 0.5 / sampler.fps and not sampler.uniform])


def counts(manifest: Manifest) -> dict[str, Any]:
  """{split: {"clips", "videos", "groups", "classes": {task: {class: {"clips", "groups"}}}}} of what can be used."""
  usable, out = manifest.table[manifest.table.status == "ok"], {}
  order = {s: i for i, s in enumerate(("train", "val", "test"))}
  for split in sorted(set(usable.split), key=lambda s: (order.get(s, 3), s)):
    rows = usable[usable.split == split]
    classes = {}
    for task in manifest.tasks:
      if task.kind == "regression":
        continue
      cells = rows.assign(cell=rows[task.name].str.split("|") if task.kind == "multi" else rows[task.name])
      cells = cells.explode("cell").groupby("cell")
      clips, groups = cells.size(), cells.group.nunique()
      classes[task.name] = {c: {"clips": int(clips.get(c, 0)), "groups": int(groups.get(c, 0))} for c in task.classes}
    out[split] = {"clips": len(rows), "videos": int(rows.video.nunique()), "groups": int(rows.group.nunique()),
                  "classes": classes}
  return out
