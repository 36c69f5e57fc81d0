"""What a start costs: modules that are imported, programs that are compiled."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny
from vft import main as mains

HEAVY = ("jax", "numpy", "pandas", "scipy", "sklearn", "av", "grain", "flax", "orbax", "matplotlib",
         "tensorflow_datasets")


def imported(code: str) -> list[str]:
  """The heavy modules that are there after `code`."""
  code = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)"
  return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stderr


def test_help_and_a_mistyped_flag_import_nothing_heavy():
  asked = "import contextlib\nfrom vft import cli\nsys.argv[1:] = ['--help']\n" \
    "with contextlib.suppress(SystemExit): cli.main()"
  assert imported(f"exec({asked!r})") == "[]\n"
  assert imported("from vft import main; main.main(['--config=medical', '--config.train.bach=2'])").endswith("\n[]\n")


def test_compiled_programs_are_kept_unless_the_user_says_otherwise(monkeypatch, tmp_path):
  names = ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE")
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "mine")
  mains.keep_compiled()
  assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "mine"
  for name in names:
    monkeypatch.delenv(name)
  monkeypatch.setenv("VFT_COMPILED", "off")
  mains.keep_compiled()
  assert not set(names) & set(os.environ)
  monkeypatch.delenv("VFT_COMPILED")
  mains.keep_compiled()
  assert Path(os.environ[names[0]]).parent == tmp_path / ".cache/vft/compiled" and int(os.environ[names[1]]) > 0


@pytest.mark.long
def test_a_second_start_compiles_nothing_and_two_at_once_are_safe(tiny_csv, tmp_path, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path))
  monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
  monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
  config = tiny.write_config_file(tmp_path / "tiny.py", tiny_csv)

  def started(number: int) -> subprocess.Popen[str]:
    return tiny.start_process("-m", "vft.main", f"--config={config}", f"--workdir=run_{number}", cwd=tmp_path)

  def kept() -> set[str]:
    return {p.name for p in tmp_path.glob(".cache/vft/compiled/*/*-cache")}
  for numbers in ((0, 1), (2,)):
    before, processes = kept(), [started(number) for number in numbers]
    for process in processes:
      _, said = process.communicate()
      assert process.returncode == 0, said
  assert before and kept() == before
