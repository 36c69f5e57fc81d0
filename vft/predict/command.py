"""vft predict: tables of what a run says of videos, in one go or in shares."""
import contextlib
import dataclasses
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ml_collections import ConfigDict

from vft import calibration, coverage, mirror, sharding, shards, storage, tasks
from vft.errors import ConfigError, DataError
from vft.predict import annotate, kept, smoothing
from vft.predict import lines as lines_of
from vft.predict.asked import NOTHING, Asked
from vft.predict.videos import Video, find_videos, groups


@dataclasses.dataclass(frozen=True)
class Work:
  """What does not depend on the share. owners: what the lines of each video have in the first column."""
  folder: Path
  videos: list[Video]
  owners: list[str]
  asked: Asked
  sets: coverage.Entries
  config: ConfigDict


def predict_files(workdir: str, paths: list[str], output: str, shard: shards.Shard | None = None,
                  asked: Asked = NOTHING) -> None:
  """Writes path, start_s, end_s, columns and, where the run has calibrated, those columns of every video as CSV.

  Times are those of the frames seen, in seconds. Of procedures there is a line per moment, of patients (the files of
  one folder are one) one without times. Raises DataError after the others are written when a file could not be read,
  ConfigError or WeightsError when `workdir` does not hold a run. A `shard` does its share of the videos; the last one
  to finish writes `output`, the others raise shards.Waiting.

  What else is `asked` for: with a coverage come conformal sets, as `coverage.columns`, and standard error has how well
  they did on test; segments or patients take the place of the lines, see `smoothing.segments` and `lines.pooled`;
  `annotate.write_all` makes a picture of each video. Segments and pictures are of calibrated
  probabilities, decided at the thresholds of validation, where the run has those.

  >>> predict_files("run", ["p0_0.mp4"], "predictions.csv")
  >>> pd.read_csv("predictions.csv").columns.tolist()[:5]
  ['path', 'start_s', 'end_s', 'predicted', 'p_fast']
  """
  if shard and output == "-":
    raise ConfigError("Shares of one work need a file that all of them see: add --output=FILE.")
  folder, videos = mirror.fetched(workdir), find_videos(paths)
  config = asked.config(kept.load_config(folder))
  owners = groups(paths, videos, asked.group) if asked.group else {str(v): _owner_of(v, config) for v in videos}
  sets = kept.load_sets(folder, asked.coverage) if asked.coverage is not None else {}
  level = "patient" if asked.group or config.sequence.unit == "patient" else "video"
  for task, entries in sets.items():
    if level not in entries:
      raise ConfigError(f"{task}: the run has no sets of patients, since one of them has two labels, or they are not "
                        "known.\nLeave out --group or --coverage.")
    print(coverage.described(task, level, entries[level]), file=sys.stderr)
  if asked.annotate and not shard:  # a share may find what others, or itself before a kill, have made
    annotate.check(asked.annotate, videos)
  work = Work(folder, videos, [owners[str(v)] for v in videos], asked, sets, config)
  if shard:
    unread = _in_shares(work, Path(output), shard)
  else:
    text, unread = _table(work, videos)
    _write_text(output, formatted(text, output, kept.load_identity(folder)[0]))
  if unread:
    lines = "\n".join(f"  {path}: {reason}" for path, reason in unread.items())
    raise DataError(f"{len(unread)} of {len(videos)} files could not be read; the others are done.\n{lines}")


def _table(work: Work, videos: list[Video]) -> tuple[str, dict[Video, str]]:
  """The CSV file of videos, and those that could not be read."""
  _, wanted, begin = kept.load_run(work.folder)
  config, asked, entries = work.config, work.asked, kept.load_calibration(work.folder)
  lines = lines_of.of_files(videos, config, wanted, begin, sharding.make_mesh())
  if asked.smooth_s:
    lines = smoothing.smooth(lines, asked.smooth_s)
  decided, thresholds = lines_of.calibrated(lines, entries), {t: calibration.thresholds(e) for t, e in entries.items()}
  if asked.annotate:
    lines.unread.update(annotate.write_all(asked.annotate, annotate.names(work.videos), videos, decided, wanted,
                                           thresholds, config))
  if asked.segments:
    step_s = config.data.stride_s if config.sequence.unit == "clip" else 1 / config.sequence.fps
    table = smoothing.segments(decided, wanted, step_s, thresholds)
  elif asked.group:
    owners = dict(zip(map(str, work.videos), work.owners, strict=True))
    table = lines_of.pooled(lines, owners, wanted, entries, work.sets)
  else:
    level = "patient" if config.sequence.unit == "patient" else "video"
    table = lines_of.table(lines, wanted, entries, work.sets, level)
  return table.to_csv(index=False, float_format="%.4f", lineterminator="\r\n"), lines.unread


def formatted(text: str, output: str, wanted: Sequence[tasks.Task]) -> str:
  """A table as CSV, or as a list of objects where `output` ends in .json: names, of classes too, are text there."""
  if not output.endswith(".json") or not text:
    return text
  words = {"path", "group", "task", *(["predicted"] if len(wanted) > 1 else []),  # of segments
           *(f"{t.name}_{c}" if len(wanted) > 1 else c for t in wanted if t.kind != "regression"
             for c in ("predicted", "at_threshold", "set"))}
  table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)  # a class may be called None or 01
  for column in table.columns.drop(list(words), errors="ignore"):
    table[column] = pd.to_numeric(table[column])
  return table.to_json(orient="records", indent=1) + "\n"


def _write_text(output: str, text: str) -> None:
  with contextlib.nullcontext(sys.stdout) if output == "-" else Path(output).open("w", newline="") as file:
    file.write(text)


def _in_shares(work: Work, output: Path, shard: shards.Shard) -> dict[Video, str]:
  """Does a share, and, where all are done, writes the table as one run would; those that could not be read.

  What has one owner stays together.
  """
  videos, names = work.videos, work.owners
  order = {name: i for i, name in enumerate(sorted(set(names)) if work.asked.group else dict.fromkeys(names))}
  mine = set(shard.share(list(order)))
  parts = shards.Parts(output.with_name(f"{output.name}.shards"), shard,
                       [(work.folder / "result.json").read_text(), names, [str(v) for v in videos],
                        shards.sizes(map(str, videos)), work.sets,
                        {**dataclasses.asdict(work.asked), "annotate": str(work.asked.annotate or "")}])

  def share() -> dict[str, Any]:
    text, unread = _table(work, [v for v, name in zip(videos, names, strict=True) if name in mine])
    return {"text": text, "unread": [[str(path), reason] for path, reason in unread.items()]}

  wanted, _ = kept.load_identity(work.folder)  # raises where it is not finished
  shards.run(parts, share if mine else lambda: {"text": "", "unread": []})
  with parts.merged() as found:
    texts = [io.StringIO(part["text"]) for part in found if part["text"]]
    table = pd.concat([pd.read_csv(t, dtype=str, keep_default_na=False) for t in texts], ignore_index=True)
    place = [order[name] for name in table.iloc[:, 0]]
    partial = output.with_name(f"{output.name}.tmp")
    text = table.iloc[np.argsort(place, kind="stable")].to_csv(index=False, lineterminator="\r\n")
    _write_text(str(partial), formatted(text, str(output), wanted))
    partial.replace(output)
  return {path: reason for part in found for path, reason in part["unread"]}


def _owner_of(video: Video, config: ConfigDict) -> str:
  """What the lines of a video have as their path: its name, or the folder of a patient."""
  if config.sequence.unit == "clip":
    return str(video)
  whole_name = str(video) if storage.is_remote(video) else os.path.abspath(video)
  return storage.parent(whole_name) if config.sequence.unit == "patient" else whole_name
