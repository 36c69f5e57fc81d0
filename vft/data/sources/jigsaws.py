"""jigsaws:FOLDER, gestures and skill in robotic surgery (JIGSAWS), 3 tasks of 8 surgeons: a folder per task.

  Suturing/video/Suturing_B001_capture1.avi      trial 1 of surgeon B, one of two cameras
  Suturing/transcriptions/Suturing_B001.txt      first and last frame and gesture a line, 30 frames a second from 1 on:
                                                 80 132 G1
  Suturing/meta_file_Suturing.txt                trial, skill (N, I or E), rating and its six parts a line

A row is a gesture; where only skill or grs is asked for, a whole trial. Columns: gesture (and label, the same), skill
(novice, intermediate, expert: as the surgeon says), grs (global rating score, 6 to 30) and surgeon. Frames without a
gesture have no row; cells are empty for a trial that is not in the meta file.

The shipped folds (Experimental_setup) are UserOut, 1 to 8, and SuperTrialOut, 1 to 5. Here they are built from the
names of trials: LOUO tests on the trials of the fold-th of the surgeons B, C, D, E, F, G, H, I, and surgeons are the
groups; LOSO tests on the fold-th trial of every surgeon, so each is in train and in test, and there are no groups. Val
is cut out of train.
"""
from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import ConfigError, DataError

if TYPE_CHECKING:
  import pandas as pd

FPS = 30  # of the transcriptions
SURGEONS = "BCDEFGHI"
FOLDS = {"LOUO": 8, "LOSO": 5}
SKILLS = {"N": "novice", "I": "intermediate", "E": "expert"}
GESTURES = "first and last frame, from 1 on and rising, and a gesture a line, such as 80 132 G1"
META = "a trial, its skill N, I or E and its rating a line, such as Suturing_B001 N 13, each trial once"


class Jigsaws(Layout):
  """`capture`: the camera. `scheme`: leave one surgeon (user) or one supertrial out, the `fold`-th."""
  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {
      "task": ("Suturing", "Knot_Tying", "Needle_Passing"), "capture": (1, 2), "scheme": tuple(FOLDS),
      "fold": tuple(range(1, 9))}
  CHECKED = ("github.com/rdipietro/miccai-2016-surgical-activity-rec, standardize_jigsaws.py; github.com/TaeSoo-Kim/"
             "jigsaws, data_utils.py; a meta file in github.com/anidhi/homework3")

  def __post_init__(self):
    super().__post_init__()
    if self.option("fold") > FOLDS[self.option("scheme")]:
      raise ConfigError(f"config.data.options.fold is {self.option('fold')}; {self.option('scheme')} has folds 1 to "
                        f"{FOLDS[self.option('scheme')]}.")

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing file, a bad line, no trials, or a fold that leaves nothing out."""
    task = self.option("task")
    folder = Path(self.folder, task)
    meta = self._meta(folder / f"meta_file_{task}.txt")
    by_gesture = bool({"gesture", "label"} & set(self.columns))
    names = sorted(p.stem for p in folder.glob(f"transcriptions/{task}_*.txt")) if by_gesture else []
    spans = [span for name in sorted({*names, *meta}) for span in self._spans(name, meta.get(name, {}), by_gesture)]
    if not spans:
      raise DataError(f"No trials in {folder}.\nExpected {folder}/transcriptions/{task}_B001.txt and "
                      f"{folder}/video/{task}_B001_capture1.avi.")
    if not any(span["split"] == "test" for span in spans):
      raise DataError(f"{self.option('scheme')} fold {self.option('fold')} of {folder} has no trial to test on.\n"
                      f"Found the trials {sorted({*names, *meta})}; choose another --config.data.options.fold.")
    return make_rows(spans)

  def _spans(self, name: str, cells: dict[str, str], by_gesture: bool) -> Iterator[dict[str, Any]]:
    folder, (surgeon, trial) = Path(self.folder, self.option("task")), self._parts(name)
    users = self.option("scheme") == "LOUO"
    left_out = surgeon == SURGEONS[self.option("fold") - 1] if users else trial == self.option("fold")
    common = dict(path=f"{folder.name}/video/{name}_capture{self.option('capture')}.avi", surgeon=surgeon,
                  skill=cells.get("skill", ""), grs=cells.get("grs", ""), split="test" if left_out else "train",
                  group=surgeon if users else "")
    if not by_gesture:
      yield dict(common, where=f"{folder}/meta_file_{folder.name}.txt, {name}")
      return
    file = folder / "transcriptions" / f"{name}.txt"
    last = 0
    for number, line in read_lines(file, f"a transcription of each trial of the meta file: {GESTURES}"):
      found = re.fullmatch(r"(\d+)\s+(\d+)\s+(G\d+)", line)
      if not found or not last < int(found[1]) <= int(found[2]):
        raise bad_line(file, number, line, GESTURES)
      last = int(found[1])
      yield dict(common, gesture=found[3], label=found[3], start_s=(last - 1) / FPS, end_s=int(found[2]) / FPS,
                 where=f"{file}, line {number}")

  def _parts(self, name: str) -> tuple[str, int]:
    """(surgeon, number of the trial)."""
    found = re.fullmatch(rf"{self.option('task')}_([{SURGEONS}])(\d\d\d)", name)
    if not found:
      raise DataError(f"{self.folder}: {name!r} is no trial of {self.option('task')}.\nExpected a name such as "
                      f"{self.option('task')}_B001, of the surgeons {', '.join(SURGEONS)}.")
    return found[1], int(found[2])

  def _meta(self, file: Path) -> dict[str, dict[str, str]]:
    """{trial: its skill and grs}."""
    trials: dict[str, dict[str, str]] = {}
    for number, line in read_lines(file, META):
      name, skill, grs, *_ = [*line.split(), "", "", ""]
      if skill not in SKILLS or not grs.isdecimal() or name in trials:
        raise bad_line(file, number, line, META)
      trials[name] = dict(skill=SKILLS[skill], grs=grs)
    return trials
