"""`vft new` of DICOM files and of what lies in a bucket: looked at alike, no header value in what is written."""
import sys

import numpy as np
import pytest

from tests import s3, tiny
from tests.data.dicoms import NAME, NUMBER, write_dicom
from tests.s3 import BUCKET, server  # noqa: F401  a fixture
from vft import cli
from vft import config as configs
from vft.data import manifest


def new(monkeypatch, capsys, *args):
  """(exit code, stdout, stderr)."""
  monkeypatch.setattr(sys, "argv", ["vft", "new", *map(str, args)])
  return cli.main(), *capsys.readouterr()


@pytest.fixture(scope="module")
def cines(tmp_path_factory):
  """Twelve patients' grey discs in a black frame, by class."""
  folder, rng = tmp_path_factory.mktemp("cines"), np.random.default_rng(0)
  for i in range(12):
    label = tiny.CLASSES[i % 2]
    (folder / label).mkdir(exist_ok=True)
    video = np.pad(tiny.disc({"fast": 0.9, "slow": 0.3}[label], rng)[..., 0], ((0, 0), (12, 12), (32, 32)))
    write_dicom(folder / label / f"{i}.dcm", video, patient=f"{NUMBER}-{i}", FrameTime=62.5, BurnedInAnnotation="YES")
  return folder


@pytest.mark.parametrize("remote", [False, True])
def test_dicom_files_become_a_config_without_header_values(cines, server, remote, monkeypatch, capsys,  # noqa: F811
                                                           tmp_path):
  monkeypatch.chdir(tmp_path)
  if remote:
    s3.upload(cines, f"{BUCKET}/cines")
  source = f"dicom:{BUCKET}/cines" if remote else f"dicom:{cines}"
  code, out, err = new(monkeypatch, capsys, "valves", f"--source={source}")
  assert code == 0, err
  text = (tmp_path / "configs/valves.py").read_text()
  config = configs.load(str(tmp_path / "configs/valves.py"))
  assert config.data.source == source and config.data.classes == ("fast", "slow")
  assert 'c.data.crop = "sector"' in text and "12 DICOM headers say that text is burned in" in text
  assert "12 clips from 12 videos of 12 patients, 2 classes" in text and "1.25 s, 16 Hz, short side 88 pixels" in text
  assert not any(secret in part for secret in (NAME, NUMBER) for part in (text, out, err))
  table = manifest.make_manifest(config).table
  assert len(table) == 12 and table.group.nunique() == 12 and set(table.status) == {"ok"}


def test_a_list_in_a_bucket_becomes_a_config(tiny_csv, server, monkeypatch, capsys, tmp_path):  # noqa: F811
  monkeypatch.chdir(tmp_path)
  s3.upload(tiny_csv.parent, f"{BUCKET}/listed")
  code, _, err = new(monkeypatch, capsys, "discs", f"--source=csv:{BUCKET}/listed/clips.csv")
  assert code == 0, err
  there = configs.load(str(tmp_path / "configs/discs.py"))
  assert there.data.source == f"csv:{BUCKET}/listed/clips.csv"
  code, _, err = new(monkeypatch, capsys, "discs_here", f"--source=csv:{tiny_csv}")
  assert code == 0, err
  here = (tmp_path / "configs/discs_here.py").read_text()
  for old, name in ((f"csv:{tiny_csv}", there.data.source), ("discs_here", "discs")):
    here = here.replace(old, name)
  assert here == (tmp_path / "configs/discs.py").read_text()


def test_a_bucket_without_videos_says_so(server, monkeypatch, capsys, tmp_path):  # noqa: F811
  monkeypatch.chdir(tmp_path)
  code, _, err = new(monkeypatch, capsys, "none", f"--source=folder:{BUCKET}/nothing_here")
  assert code == 3 and "There is no folder 's3://clips/nothing_here'" in err and not (tmp_path / "configs").exists()


def test_dicom_files_that_are_read_as_a_folder_or_lie_in_one_heap_are_told_how(cines, monkeypatch, capsys, tmp_path):
  monkeypatch.chdir(tmp_path)
  code, out, err = new(monkeypatch, capsys, "valves", f"--source=folder:{cines}")
  assert code == 0, err
  assert "which flatters. dicom: instead of folder: reads them from the headers" in " ".join(out.split())
  heap = tmp_path / "heap"
  heap.mkdir()
  (heap / "1.dcm").write_bytes(next(cines.glob("*/0.dcm")).read_bytes())
  code, _, err = new(monkeypatch, capsys, "heap", f"--source=dicom:{heap}")
  assert code == 3 and f"Or write {heap}/labels.csv with columns path and label" in err
