"""A run and a prediction on DICOM: nothing of the header in any file or line that comes out."""
import contextlib
import io
import json
import sys
import traceback

import numpy as np
import pytest

from tests import tiny
from tests.data.dicoms import write_dicom
from tests.data.test_dicom import ECHO
from vft import cli, main
from vft.errors import DataError

SECRETS = (b"DOE", b"MRN-4711", b"4711-0815", b"19470811")


def secrets_in(folder):
  return [str(p) for p in folder.rglob("*") if p.is_file() and any(s in p.read_bytes() for s in SECRETS)]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    yield


@pytest.fixture(scope="module")
def finished(home, tmp_path_factory):
  """The folder of a run on 12 patients with two cines each, and a broken one, whose header says who it is of."""
  study, out, rng = tmp_path_factory.mktemp("study"), tmp_path_factory.mktemp("out"), np.random.default_rng(0)
  for p in range(12):
    label = tiny.CLASSES[p % 2]
    (study / label).mkdir(exist_ok=True)
    for c in range(2):
      write_dicom(study / label / f"{p}_{c}.dcm", tiny.disc({"fast": 0.9, "slow": 0.3}[label], rng), FrameTime=62.5,
                  syntax="rle" if c else "raw", patient=f"MRN-4711-0815-{p}", BurnedInAnnotation="YES")
  broken = study / "fast/0_0.dcm"
  broken.write_bytes(broken.read_bytes()[:-3000])
  config = tiny.write_config_file(out / "tiny.py", study, train=dict(epochs=1), log=dict(tensorboard=True),
                                  eval=dict(bootstrap=10), data=dict(source=f"dicom:{study}", max_bad_fraction=0.1))
  log = io.StringIO()
  with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
    assert main.main([f"--config={config}", f"--workdir={out / 'run'}"]) == 0
  (out / "log.txt").write_text(log.getvalue())
  return out / "run"


@pytest.mark.fault("F63", "run on DICOM with names, numbers and dates",
                   "none in any file or line; patients are salted hashes")
def test_a_run_keeps_nothing_of_the_headers(finished):
  assert secrets_in(finished.parent) == []
  result = json.loads((finished / "result.json").read_text())
  assert result["data"]["grouped_by"] == "patient" and result["data"]["skipped"] == 1
  assert "damaged: frame" in (finished / "skipped.csv").read_text()


@pytest.mark.parametrize("path", ["own", ECHO])
def test_prediction_on_dicom_says_nothing_of_the_header(finished, tmp_path, monkeypatch, capsys, path):
  if path == "own":
    path = write_dicom(tmp_path / "new.dcm", tiny.disc(0.9, np.random.default_rng(1)), syntax="jpeg2000")
  monkeypatch.setattr(sys, "argv", ["vft", "predict", str(finished), path, f"--output={tmp_path / 'out.csv'}"])
  assert cli.main() == 0
  assert len((tmp_path / "out.csv").read_text().splitlines()) == 2
  assert not any(s.decode() in "".join(capsys.readouterr()) for s in SECRETS)
  (tmp_path / "new.dcm").unlink(missing_ok=True)
  assert secrets_in(tmp_path) == secrets_in(finished.parent) == []


def test_prediction_on_a_broken_dicom_file_says_nothing_of_the_header(finished, tmp_path, monkeypatch, capsys):
  path = write_dicom(tmp_path / "new.dcm", tiny.disc(0.9, np.random.default_rng(1)))
  with open(path, "r+b") as file:
    file.truncate(4000)
  monkeypatch.setattr(sys, "argv", ["vft", "predict", str(finished), path, "-v"])
  with pytest.raises(DataError) as e:  # -v shows the traceback
    cli.main()
  said = "".join([*traceback.format_exception(e.value), *capsys.readouterr()])
  assert "damaged: frame" in said and not any(s.decode() in said for s in SECRETS)
