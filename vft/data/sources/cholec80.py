"""cholec80:FOLDER, phases and tools of cholecystectomy, 80 videos: videos/, phase_annotations/, tool_annotations/.

  videos/video07.mp4
  phase_annotations/video07-phase.txt   Frame<TAB>Phase, then every frame from 0 on, 25 a second: 0<TAB>Preparation
  tool_annotations/video07-tool.txt     Frame<TAB>Grasper<TAB>..., then every 25th frame from 0 on, with 0 or 1 per tool

A row is a span in which the labels that are asked for stay the same. Columns: phase (and label, the same), tools. What
is said of the tools in frame f holds for the second that f begins, frames f to f + 24; after it they are not known
until the next line. A gall bladder is removed once, so a video is a patient.

Public code numbers the phases differently (Surgformer and TeCNO have Packaging 4, Cleaning 5, Retraction 6; TF-Cholec80
Retraction 4, Cleaning 5, Packaging 6). Here a class is its name; `classes` has them in the first order, which is that
of the evaluation script behind sequence.boundary_rule=cholec80.
"""
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import Run, bad_line, find_numbered, make_rows, overlay, read_frames, runs
from vft.data.sources.layout import Layout
from vft.errors import DataError, did_you_mean
from vft.tasks import NONE

if TYPE_CHECKING:
  import pandas as pd

FPS = 25  # of the annotations; containers say 25, 25.000001 and the like
PHASES = ("Preparation", "CalotTriangleDissection", "ClippingCutting", "GallbladderDissection", "GallbladderPackaging",
          "CleaningCoagulation", "GallbladderRetraction")
LAST = {"40/40": (40, 40), "32/8/40": (32, 40), "40/8/32": (40, 48)}  # option split -> last video of train, of val
PHASE_FILE = "a first line Frame<TAB>Phase and a line per frame from 0 on, such as 0<TAB>Preparation"
TOOL_FILE = "a first line Frame<TAB>Grasper<TAB>... and a line per 25 frames from 0 on with 0 or 1 for each tool"


class Cholec80(Layout):
  """`split`: 40/40 as published, val then cut out of train; or with a val of its own. 40/8/32: videos 41 to 48."""
  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"split": tuple(LAST)}
  CHECKED = ("github.com/isyangshu/Surgformer, datasets/data_preprosses/generate_labels_ch80.py; github.com/tobiascz/"
             "TeCNO, datasets/cholec80_feature_extract.py")

  @property
  def classes(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  not of tools
    """The phases, where nothing else is asked for."""
    return PHASES if set(self.columns) <= {"phase", "label"} else ()

  def rows(self) -> pd.DataFrame:
    """Raises DataError for a missing annotation file, a bad line, an unknown phase or a video that is not one of 80."""
    folder = Path(self.folder)
    videos = {**find_numbered(folder / "phase_annotations", "video", "-phase.txt"),
              **find_numbered(folder / "videos", "video", ".mp4")}
    if not videos:
      raise DataError(f"No videos in {folder}.\nExpected {folder}/videos/video01.mp4 and "
                      f"{folder}/phase_annotations/video01-phase.txt, to video80.")
    return make_rows(span for number in sorted(videos) for span in self._spans(number, videos[number]))

  def _spans(self, number: int, digits: str) -> Iterator[dict[str, Any]]:
    if not 1 <= number <= 80:
      raise DataError(f"{self.folder}/videos/video{digits}.mp4 is none of Cholec80.\nExpected video01 to video80.")
    train, val = LAST[self.option("split")]
    split = "train" if number <= train else "val" if number <= val else "test"
    phase_file = Path(self.folder, "phase_annotations", f"video{digits}-phase.txt")
    phases = _phases(phase_file)
    end = phases[-1][1]
    tools: list[Run] = []
    if "tools" in self.columns:
      tools = _tools(Path(self.folder, "tool_annotations", f"video{digits}-tool.txt"))
      tools = [(a, min(b, end), label) for a, b, label in tools if a < end]
    shown = phases if "tools" not in self.columns or {"phase", "label"} & set(self.columns) else []
    for a, b, (phase, present) in overlay(shown, tools):
      yield dict(path=f"videos/video{digits}.mp4", phase=phase, label=phase, tools=present, start_s=a / FPS,
                 end_s=b / FPS, split=split, group=f"video{digits}", where=f"{phase_file}, frame {a}")


def _phases(file: Path) -> list[Run]:
  def labels() -> Iterator[tuple[int, str]]:
    for number, frame, (phase, *more) in read_frames(file, PHASE_FILE)[1]:
      if phase not in PHASES or more:
        raise DataError(f"{file}, line {number}: phase {phase!r} unknown{did_you_mean(phase, PHASES)}\n"
                        f"Expected one of {list(PHASES)}.")
      yield frame, phase
  if not (found := runs(labels())):
    raise DataError(f"{file}: no line but the first.\nExpected {PHASE_FILE}.")
  return found


def _tools(file: Path) -> list[Run]:
  names, frames = read_frames(file, TOOL_FILE)

  def labels() -> Iterator[tuple[int, str]]:
    for number, frame, cells in frames:
      if frame % FPS or not set(cells) <= {"0", "1"}:
        raise bad_line(file, number, "\t".join([str(frame), *cells]), TOOL_FILE)
      yield frame, "|".join(name for name, cell in zip(names, cells, strict=True) if cell == "1") or NONE
  if not (found := runs(labels(), step=FPS)):
    raise DataError(f"{file}: no line but the first.\nExpected {TOOL_FILE}.")
  return found
