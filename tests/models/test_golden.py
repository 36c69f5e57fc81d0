"""Every family against its original implementation; `tests/golden/make.py` made the files, without torch here."""
from pathlib import Path

import pytest

from tests.golden import check, table

FILES = sorted(Path(check.__file__).parent.glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_outputs_and_gradients_equal_the_original(path, tmp_path):
  found = check.compare(*check.read(path), tmp_path)
  assert max(found.values()) < check.LIMIT, found


def test_the_table_tells_a_file_without_a_suffix_and_a_family_whose_parity_is_not_shown(monkeypatch, tmp_path):
  monkeypatch.setattr(table, "HERE", tmp_path)  # a folder without golden files
  monkeypatch.setattr(table, "cost", lambda name, variant: (1.0, 1.0))  # takes long
  rows = table.rows(("i3d", "vivit_fe", "timesformer"))
  assert rows["i3d"].split(" | ")[2::3] == [".ckpt, .pt", "see tests/models/test_i3d.py"], rows
  assert rows["vivit_fe"].split(" | ")[2::3] == ["checkpoint", "not shown"], rows
  assert rows["timesformer"].split(" | ")[2] == ".bin"
