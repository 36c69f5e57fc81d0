"""Settings for all tests, made before jax is imported: four virtual CPU devices, no silent broadcasting, and programs
that are compiled in a quarter of the time, and run slower. Flags of the environment win:

  XLA_FLAGS="--xla_backend_optimization_level=3 --xla_cpu_use_fusion_emitters=true" python -m pytest
"""
import os
import tempfile

os.environ["XLA_FLAGS"] = ("--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0 "
                           f"--xla_cpu_use_fusion_emitters=false {os.environ.get('XLA_FLAGS', '')}").strip()
os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_NUMPY_RANK_PROMOTION"] = "raise"
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # what one test has compiled serves the others and their subprocesses
  _compiled = tempfile.TemporaryDirectory(prefix="vft-compiled-", ignore_cleanup_errors=True)
  os.environ.update(JAX_COMPILATION_CACHE_DIR=_compiled.name, JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0.5",
                    JAX_COMPILATION_CACHE_MAX_SIZE="1000000000")
  # Only a bounded cache locks its files. It reads all of them whenever it takes in another, so it should hold few.

import pytest
from absl import flags

from tests import tiny
from tests.faults import pytest_collection_modifyitems, pytest_configure  # noqa: F401

if not flags.FLAGS.is_parsed():
  flags.FLAGS.mark_as_parsed()  # grain reads its flags


@pytest.fixture(scope="session", autouse=True)
def home(tmp_path_factory):
  """A home of their own: runs keep what they have found in ~/.cache/vft."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    yield


@pytest.fixture(scope="session")
def tiny_csv(tmp_path_factory):
  """The CSV file of 12 patients with two clips each, of two classes."""
  return tiny.make_csv(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def tiny_config(tiny_csv, tmp_path):
  """A config that trains the head of a tiny VideoMAE on the clips of `tiny_csv` in seconds."""
  return tiny.make_config(tiny_csv, tmp_path)
