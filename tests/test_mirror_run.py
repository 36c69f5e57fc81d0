"""A run whose videos and workdir lie in a bucket, killed on one machine and gone on with on another."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import processes, s3, tiny
from tests.s3 import BUCKET, server  # noqa: F401  a fixture


def start(config: Path, workdir: str, home: Path) -> subprocess.Popen[str]:
  """vft.main on a machine of its own: an empty home, and nothing of the data."""
  home.mkdir()
  return subprocess.Popen([sys.executable, "-m", "vft.main", f"--config={config}", f"--workdir={workdir}"], cwd=home,
                          env=processes.environment() | {"HOME": str(home)}, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


@pytest.mark.fault("F35", "kill -9 of a run in a bucket, gone on with elsewhere",
                   "bit-equal to one that was never broken")
@pytest.mark.long
def test_a_run_killed_on_one_machine_goes_on_on_another(tiny_csv, tmp_path, server):  # noqa: F811
  s3.upload(tiny_csv.parent, f"{BUCKET}/beating")
  config = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv, groups=dict(trunk=dict(train=True, lr=1e-4)),
                                  train=dict(epochs=6, batch=4), eval=dict(calibrate=False),
                                  data=dict(source=f"csv:{BUCKET}/beating/clips.csv"))
  first = start(config, f"{BUCKET}/broken", tmp_path / "one")
  mirrors = tmp_path / "one" / ".cache" / "vft" / "workdirs"
  processes.until(lambda: any(len(processes.lines(w, "val")) >= 2 for w in mirrors.glob("broken-*")), [first])
  first.kill()
  first.communicate()
  assert not any(w.joinpath("result.json").exists() for w in mirrors.glob("broken-*"))
  ended = processes.ends([start(config, f"{BUCKET}/broken", tmp_path / "two"),
                          start(config, f"{BUCKET}/whole", tmp_path / "three")])
  assert [code for code, _ in ended] == [0, 0], ended
  broken, whole = (next((tmp_path / home / ".cache" / "vft" / "workdirs").glob(f"{name}-*"))
                   for home, name in (("two", "broken"), ("three", "whole")))
  a, b = processes.arrays(whole), processes.arrays(broken)
  assert a.keys() == b.keys() and all(np.array_equal(a[k], b[k]) for k in a)
  for split in ("train", "val"):
    assert [r["loss"] for r in processes.lines(whole, split)] == [r["loss"] for r in processes.lines(broken, split)]
