"""cataract101:FOLDER, phases of cataract surgery, 101 videos, as published (Zenodo 1220951): videos/ and three tables.

  videos/case_269.mp4
  videos.csv        VideoID;Frames;FPS;Surgeon;Experience   269;14734;25;4;1
  phases.csv        Phase;Meaning                           1;Incision
  annotations.csv   VideoID;FrameNo;Phase                   269;68;1: from frame 68 on, counted from 0, to the next line

Where the last two lines of a video name the same phase, the last one is the last frame of it and what follows has no
label; else the last phase goes on to the end of the video. What is before the first line has no label. Both as in
Surgformer, whose split this is, too: by rising VideoID the first 51 videos are train, the next 10 val, the rest test.
config.data.official=False divides them anew.

A row is a span of one phase. Columns: phase (and label, the same), and the cells of videos.csv: surgeon, experience. A
video counts as a patient: whether two are of the same patient's eyes is not published.
"""
from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vft.data.sources.annotations import Run, bad_line, make_rows, read_table
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

VIDEOS = "the videos.csv of Cataract-101, VideoID;Frames;FPS;Surgeon;Experience and then lines such as 269;14734;25;4;1"
PHASES = "the phases.csv of Cataract-101, Phase;Meaning and then lines such as 1;Incision"
STARTS = ("the annotations.csv of Cataract-101, VideoID;FrameNo;Phase and then lines such as 269;68;1, frames rising, "
          "with a video of videos.csv and a phase of phases.csv")


class Cataract101(Layout):
  """Names of phases are read from phases.csv."""
  CHECKED = ("github.com/isyangshu/Surgformer, datasets/data_preprosses/transfer_csv_txt.py and "
             "generate_labels_cataract101.py; tables of the set in github.com/matinmoqadas/Cataract-101")

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing table, a bad line or a video without phases."""
    file = Path(self.folder, "videos.csv")
    videos: dict[str, tuple[int, dict[str, str]]] = {}
    for line, row in read_table(file, ("VideoID", "FPS", "Surgeon", "Experience"), ";", VIDEOS):
      name, fps = row["VideoID"], row["FPS"]
      if not name.isdecimal() or name in videos or not fps.isdecimal() or not int(fps):
        raise bad_line(file, line, ";".join(row.values()), f"{VIDEOS}, each video once")
      videos[name] = line, row
    starts = self._starts(videos)
    for video, (line, row) in videos.items():
      if not starts[video]:
        raise bad_line(file, line, ";".join(row.values()), f"lines of video {video} in annotations.csv, found none")
    if not videos:
      raise DataError(f"{file}: no line but the first.\nExpected {VIDEOS}.")
    order = sorted(videos, key=int)
    return make_rows(span for i, video in enumerate(order)
                                 for span in _spans(i, videos[video][1], starts[video]))

  def _starts(self, videos: dict[str, Any]) -> dict[str, list[tuple[int, int, str]]]:
    """{video: (line, frame, name of the phase that starts there)}."""
    table = read_table(Path(self.folder, "phases.csv"), ("Phase", "Meaning"), ";", PHASES)
    names = {row["Phase"]: row["Meaning"] for _, row in table}
    file = Path(self.folder, "annotations.csv")
    starts: dict[str, list[tuple[int, int, str]]] = {video: [] for video in videos}
    for line, row in read_table(file, ("VideoID", "FrameNo", "Phase"), ";", STARTS):
      video, frame, phase = row["VideoID"], row["FrameNo"], row["Phase"]
      known = video in videos and phase in names and frame.isdecimal()
      if not known or (starts[video] and int(frame) <= starts[video][-1][1]):
        raise bad_line(file, line, ";".join(row.values()), STARTS)
      starts[video].append((line, int(frame), names[phase]))
    return starts


def _spans(place: int, video: dict[str, str], starts: Sequence[tuple[int, int, str]]) -> Iterator[dict[str, Any]]:
  """Spans of the video at `place` of all of them."""
  name, fps = f"case_{video['VideoID']}", int(video["FPS"])
  found: list[Run] = [(a, b, phase) for (_, a, phase), (_, b, _) in itertools.pairwise(starts)]
  _, last, phase = starts[-1]
  closed = len(starts) > 1 and starts[-2][2] == phase
  if closed:
    found[-1] = (found[-1][0], last + 1, phase)
  else:
    found.append((last, -1, phase))
  merged = [list(group) for _, group in itertools.groupby(found, key=lambda run: run[2])]
  for group in merged:
    start, end = group[0][0], group[-1][1]
    yield dict(path=f"videos/{name}.mp4", phase=group[0][2], label=group[0][2], surgeon=video["Surgeon"],
               experience=video["Experience"], start_s=start / fps, end_s=end / fps if end > 0 else float("nan"),
               split="train" if place < 51 else "val" if place < 61 else "test", group=name,
               where=f"annotations.csv, video {video['VideoID']}, frame {start}")
