"""The notebooks run from their first cell to their last, as a reader runs them."""
import os
from pathlib import Path

import nbformat
import pytest

HERE = Path(__file__).parent
NAMES = sorted(p.stem for p in HERE.glob("*.ipynb"))


def test_notebooks_are_committed_without_outputs():
  assert NAMES == ["own_clips", "probe_to_report"]
  for name in NAMES:
    cells = [c for c in nbformat.read(HERE / f"{name}.ipynb", 4).cells if c.cell_type == "code"]
    assert cells and not any(c.outputs or c.execution_count for c in cells), name
    for cell in cells:
      assert max(map(len, cell.source.splitlines())) <= 120


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")  # of the packages that run a notebook
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_to_its_end(name, tmp_path, monkeypatch):
  import nbclient
  for name_of in ("XLA_FLAGS", "JAX_NUMPY_RANK_PROMOTION", "JAX_COMPILATION_CACHE_DIR"):  # of tests, not of readers
    monkeypatch.delenv(name_of, raising=False)
  (tmp_path / "home").mkdir()
  monkeypatch.setenv("HOME", str(tmp_path / "home"))
  monkeypatch.setenv("PYTHONPATH", str(HERE.parent.parent), prepend=os.pathsep)
  notebook = nbformat.read(HERE / f"{name}.ipynb", 4)
  nbclient.NotebookClient(notebook, timeout=1200, kernel_name="python3",
                          resources={"metadata": {"path": str(tmp_path)}}).execute()
  outputs = [o for c in notebook.cells if c.cell_type == "code" for o in c.outputs]
  said = "".join(o.text for o in outputs if o.output_type == "stream")
  assert "accuracy per patient 0." in said or "accuracy per patient 1." in said
  assert any("image/png" in o.get("data", {}) for o in outputs)
  assert list(tmp_path.glob("runs/*/report.html"))
