"""Every family against its original implementation; `tests/golden/make.py` made the files, without torch here."""
from pathlib import Path

import pytest

from tests.golden import check

FILES = sorted(Path(check.__file__).parent.glob("*.npz"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_outputs_and_gradients_equal_the_original(path, tmp_path):
  found = check.compare(*check.read(path), tmp_path)
  assert max(found.values()) < check.LIMIT, found
