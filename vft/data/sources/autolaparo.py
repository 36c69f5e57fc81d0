"""autolaparo:FOLDER, phases of hysterectomy, 21 videos: videos/ and labels/ of AutoLaparo's task 1.

  videos/07.mp4
  labels/label_07.txt   Frame<TAB>Phase, then a line a second from 1 on, with the number of a phase: 1<TAB>2

Line k stands for second k - 1 to k of the video, whatever its rate (25 a second). Videos 1 to 10 are train, 11 to 14
val, 15 to 21 test. A row is a span of one phase. Columns: phase (and label, the same). A video is a patient.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vft.data.sources.annotations import Run, bad_line, find_numbered, make_rows, read_frames, runs
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

PHASES = ("Preparation", "Dividing Ligament and Peritoneum", "Dividing Uterine Vessels and Ligament",
          "Transecting the Vagina", "Specimen Removal", "Suturing", "Washing")
NAMES = {str(i): name for i, name in enumerate(PHASES, 1)}
LABEL_FILE = "a first line Frame<TAB>Phase and a line per second from 1 on with a phase from 1 to 7, such as 1<TAB>2"


class AutoLaparo(Layout):
  """Classes are named by their numbers in the files, from 1 on."""
  classes = PHASES
  CHECKED = "github.com/isyangshu/Surgformer, datasets/data_preprosses/generate_labels_autolaparo.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing annotation file, a bad line or a video that is not one of 21."""
    folder = Path(self.folder)
    videos = {**find_numbered(folder / "labels", "label_", ".txt"),
              **find_numbered(folder / "videos", "", ".mp4")}
    if not videos:
      raise DataError(f"No videos in {folder}.\nExpected {folder}/videos/01.mp4 and {folder}/labels/label_01.txt, to "
                      "21: the folder of task 1.")
    return make_rows(span for number in sorted(videos) for span in self._spans(number, videos[number]))

  def _spans(self, number: int, digits: str) -> Iterator[dict[str, Any]]:
    if not 1 <= number <= 21:
      raise DataError(f"{self.folder}/videos/{digits}.mp4 is none of AutoLaparo.\nExpected 01.mp4 to 21.mp4.")
    split = "train" if number <= 10 else "val" if number <= 14 else "test"
    file = Path(self.folder, "labels", f"label_{digits}.txt")
    for a, b, phase in _phases(file):
      yield dict(path=f"videos/{digits}.mp4", phase=phase, label=phase, start_s=a - 1.0, end_s=b - 1.0, split=split,
                 group=digits, where=f"{file}, frame {a}")


def _phases(file: Path) -> list[Run]:
  def labels() -> Iterator[tuple[int, str]]:
    for number, second, cells in read_frames(file, LABEL_FILE)[1]:
      if second < 1 or cells[0] not in NAMES:
        raise bad_line(file, number, "\t".join([str(second), *cells]), LABEL_FILE)
      yield second, NAMES[cells[0]]
  if not (found := runs(labels())):
    raise DataError(f"{file}: no line but the first.\nExpected {LABEL_FILE}.")
  return found
