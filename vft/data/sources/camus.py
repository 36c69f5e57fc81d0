"""camus:FOLDER, the CAMUS data set as NIfTI: database_nifti/patientXXXX/patientXXXX_{2CH,4CH}_half_sequence.nii.gz.

Beside them Info_2CH.cfg and Info_4CH.cfg, lines such as "EF: 56": here columns, EF (%) and ImageQuality (Poor, Medium,
Good) among them. Seen in github.com/BioMedIA-MBZUAI/CardioBench, cardiobench/workflow/splits/camus.py, which reads the
same files, FrameRate among the lines, and database_split/subgroup_{training,validation,testing}.txt, a patient a line;
the ten folds listSubGroups/subGroup7_testing.txt in github.com/ThierryJudge/CRISP-uncertainty,
vital/vital/data/camus/dataset_generator.py, where the images are .mhd files. There a sequence from end-systole to
end-diastole (ED > ES in the .cfg file) is turned round; here it is shown as it is stored.
"""
from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft.data.readers.options import Content, FrameFolder
from vft.data.sources.annotations import bad_line, make_rows, read_lines
from vft.data.sources.layout import Layout
from vft.errors import DataError

if TYPE_CHECKING:
  import pandas as pd

VIEWS = ("2CH", "4CH")
SUBSETS = {"training": "train", "validation": "val", "testing": "test"}
EXPECTED = "patientXXXX/Info_2CH.cfg and patientXXXX_2CH_half_sequence.nii.gz, or 4CH, of CAMUS below database_nifti"


class Camus(Layout):
  """One row per patient and view; a patient is a group.

  view: which of the two is used. fold: 0 = the split of database_split, and where there is none vft's own; 1 to 10 =
  that of listSubGroups.
  """

  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {"view": ("both", *VIEWS), "fold": tuple(range(11))}
  CHECKED: ClassVar[str] = "github.com/BioMedIA-MBZUAI/CardioBench, cardiobench/workflow/splits/camus.py"

  def rows(self) -> pd.DataFrame:
    """Raises DataError if there are no patients, a list of the fold or an Info file is missing or not as expected."""
    root = Path(self.folder)
    inner = next((d for d in ("database_nifti", ".") if any((root / d).glob("patient*/"))), None)
    if inner is None:
      raise DataError(f"{self.folder}: no folders patient*.\nExpected {EXPECTED}.")
    split, spans = self._splits(), []
    for patient in sorted(p for p in (root / inner).glob("patient*/") if p.is_dir()):
      for view in VIEWS if self.option("view") == "both" else (self.option("view"),):
        path, info = self._sequence(patient, view), patient / f"Info_{view}.cfg"
        if not path.exists() and not info.exists():
          continue
        if split and patient.name not in split:
          raise DataError(f"{self.folder}: {patient.name} is in none of the lists of fold {self.option('fold')}.\n"
                          "Expected each patient in one list; without lists of fold 0 vft makes a split of its own.")
        spans.append({**read_info(info), "path": path.relative_to(root).as_posix(), "group": patient.name,
                      "view": view, "split": split.get(patient.name, ""), "where": str(info)})
    if not spans:
      raise DataError(f"{self.folder}: no sequences of {self.option('view')}.\nExpected {EXPECTED}.")
    return make_rows(spans)

  def read(self, path: str) -> Content:
    """With the frame rate of the Info file, where it has one."""
    file = super().read(path)
    view = Path(file).name.split("_")[1]
    info = Path(file).parent / f"Info_{view}.cfg"
    rate = read_info(info).get("FrameRate", "") if info.is_file() else ""
    try:
      return FrameFolder(file, float(rate)) if rate else file
    except ValueError:
      raise DataError(f"{info}: FrameRate is {rate!r}; expected a number") from None

  def _sequence(self, patient: Path, view: str) -> Path:
    """Packed, as it is published, unless only the other is there."""
    packed = patient / f"{patient.name}_{view}_half_sequence.nii.gz"
    plain = packed.with_suffix("")
    return plain if plain.exists() and not packed.exists() else packed

  def _splits(self) -> dict[str, str]:
    """{patient: split} of the chosen fold; {} where there is no official one."""
    root, fold = Path(self.folder), self.option("fold")
    pattern = f"listSubGroups/subGroup{fold}_{{}}.txt" if fold else "database_split/subgroup_{}.txt"
    names = {name: pattern.format(name) for name in SUBSETS}
    outer = next((o for o in (root, root.parent) if any((o / file).exists() for file in names.values())), root)
    if not fold and not any((outer / file).exists() for file in names.values()):
      return {}
    split: dict[str, str] = {}
    for name, file in names.items():
      for number, line in read_lines(outer / file, f"{', '.join(names.values())}, a patient a line"):
        if line in split:
          raise bad_line(outer / file, number, line, f"each patient once; this one is in {split[line]} already")
        split[line] = SUBSETS[name]
    return split


def read_info(file: Path) -> dict[str, str]:
  """{"EF": "56", ...} of lines "EF: 56". Raises DataError for another line, or where there is no EF."""
  info: dict[str, str] = {}
  for number, line in read_lines(file, EXPECTED):
    key, colon, value = line.partition(":")
    if not colon:
      raise bad_line(file, number, line, "lines such as 'EF: 56'")
    info[key.strip()] = value.strip()
  if "EF" not in info:
    raise DataError(f"{file}: no line 'EF: ...'; found {list(info)}.\nExpected the Info file of CAMUS.")
  return info
