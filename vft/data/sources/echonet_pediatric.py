"""echonet_pediatric:FOLDER with A4C and PSAX, each with FileList.csv and Videos/*.avi: EF (%); Split, a fold 0 to 9.

Seen in public loaders: github.com/BioMedIA-MBZUAI/CardioBench, cardiobench/workflow/splits/echonet_pediatric.py (two
lists, joined) and a preprocessing script of GDKVM (FileName,EF,Sex,Age,Weight,Height,Split; folds 0-7, 8, 9; the folder
pediatric_echo_avi/pediatric_echo_avi around both views). A third one, demo_api.py of EchoGuard-Peds, joins the views
of a patient by the name up to its last "-": CR32a7555-CR32a7582-000039 is of CR32a7555-CR32a7582. That rule is theirs,
not the publishers'.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.sources.annotations import bad_line, make_rows, read_table
from vft.data.sources.echonet_dynamic import with_suffix
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

FOLDS = 10
VIEWS = ("A4C", "PSAX")
OUTER = (".", "pediatric_echo_avi", "pediatric_echo_avi/pediatric_echo_avi")
EXPECTED = "FileList.csv of EchoNet-Pediatric in the folder of a view, beside Videos, with FileName,EF,...,Split"


class EchonetPediatric(Layout):
  """All columns of FileList.csv are kept and can be tasks, and so can `view`.

  fold: is tested on; the one after it (0 after 9) validates. view: which of the two is used. Whether a patient's videos
  are all in one fold was not seen anywhere: where they are not, the run stops, and data.official=False splits anew.
  """

  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"view": (*VIEWS, "both"), "fold": tuple(range(FOLDS))}
  CHECKED: ClassVar[str] = "github.com/BioMedIA-MBZUAI/CardioBench, cardiobench/workflow/splits/echonet_pediatric.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there is no such list, column or fold."""
    chosen = self.option("view")
    outer = next((o for o in OUTER if any(Path(self.folder, o, v).is_dir() for v in VIEWS)), ".")
    spans = [span for view in VIEWS if chosen in (view, "both") for span in self._of_view(Path(outer, view))]
    if not spans:
      raise DataError(f"{self.folder}: no line in the lists of {chosen}.\nExpected {EXPECTED}.")
    return make_rows(spans)

  def _of_view(self, folder: Path) -> list[dict[str, str]]:
    file, spans = Path(self.folder, folder, "FileList.csv"), []
    for number, cells in read_table(file, ("FileName", "EF", "Split"), ",", EXPECTED):
      fold = cells["Split"].removesuffix(".0")
      if fold not in map(str, range(FOLDS)):
        raise bad_line(file, number, ",".join(cells.values()), "a fold from 0 to 9 in the column Split")
      spans.append({**cells, "path": (folder / "Videos" / with_suffix(cells["FileName"])).as_posix(),
                    "group": patient(cells["FileName"]), "split": split_of(int(fold), self.option("fold")),
                    "view": folder.name, "where": f"{file}, line {number}"})
    return spans


def split_of(fold: int, tested: int) -> str:
  """The split of the videos of `fold` where `tested` is tested on."""
  return {tested: "test", (tested + 1) % FOLDS: "val"}.get(fold, "train")


def patient(name: str) -> str:
  """CR32a7555-CR32a7582-000039.avi -> CR32a7555-CR32a7582; the whole name where it has no "-"."""
  return Path(name).stem.rpartition("-")[0] or Path(name).stem
