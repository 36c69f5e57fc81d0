"""`vft export`: the written program says what the run says, by itself, and tells what it is."""
import dataclasses
import importlib.util
import json
import subprocess
import sys

import jax
import numpy as np
import pandas as pd
import pytest

from tests import tiny
from vft import cli, predict, storage
from vft import run as runs
from vft.convert import formats
from vft.errors import RunError
from vft.export import card, original, program


@pytest.fixture(scope="module")
def work(tiny_csv, tmp_path_factory):
  """A finished run of a tiny network, two views of a video."""
  folder = tmp_path_factory.mktemp("exported")
  config = tiny.make_config(tiny_csv, folder, train=dict(epochs=1), eval=dict(views=2), controls=("majority",))
  runs.run(config, folder / "run")
  return folder / "run"


def call(monkeypatch, *args):
  monkeypatch.setattr(sys, "argv", ["vft", "export", *map(str, args)])
  return cli.main()


def alone(out, videos, code=0):
  """What the example of an export says where there is no vft."""
  script = ("import runpy, sys; sys.modules['vft'] = None; "  # an import of vft would fail
            f"sys.argv = ['predict.py', *{videos!r}]; runpy.run_path({str(out / 'predict.py')!r}, run_name='__main__')")
  done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=out.parent)
  assert done.returncode == code and done.stderr.count("cannot be read") == bool(code), done.stderr
  return [json.loads(line) for line in done.stdout.splitlines()]


def test_the_example_predicts_by_itself_what_vft_predicts(work, tiny_csv, tmp_path, monkeypatch, capsys):
  out, videos = tmp_path / "out", [str(tiny_csv.parent / f"p{i}_0.mp4") for i in (0, 1)]
  assert call(monkeypatch, work, out) == 0
  assert " clips of the test split" in capsys.readouterr().out
  assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]  # nothing half-written beside it
  said = alone(out, videos)
  (tmp_path / "empty.mp4").touch()
  assert alone(out, [str(tmp_path / "empty.mp4"), *videos], code=3) == said
  predict.predict_files(str(work), videos, str(tmp_path / "ours.csv"))
  ours = pd.read_csv(tmp_path / "ours.csv")
  for kind, prefix in (("probabilities", "p_"), ("calibrated", "calibrated_")):
    np.testing.assert_allclose([s[kind] for s in said], ours[[prefix + "fast", prefix + "slow"]], atol=1e-4)

  text, result = (out / "README.md").read_text(), json.loads((work / "result.json").read_text())
  accuracy = result["test"]["patient"]["accuracy"]
  for part in ("Not for clinical decisions.", result["data"]["sha256"], "label (single: fast, slow)", "started from ",
               f"| patient | accuracy | {accuracy['value']:.3f} | {accuracy['low']:.3f} | {accuracy['high']:.3f} |",
               "majority ", "2 views", "differs from the run by at most"):
    assert part in text, part
  assert call(monkeypatch, work, out) == 2 and "exists already" in capsys.readouterr().err
  assert call(monkeypatch, work, tmp_path / "own.safetensors", "--format=vft") == 0


def test_a_run_in_a_bucket_is_read_from_there(work, tmp_path, monkeypatch, capsys):
  for path in (p for p in work.rglob("*") if p.is_file()):
    storage.send(path, f"memory://bucket/run/{path.relative_to(work).as_posix()}")
  assert call(monkeypatch, "memory://bucket/run", tmp_path / "own.safetensors", "--format=vft") == 0
  for args, code in ((["report", "memory://bucket/run", f"--output={tmp_path / 'page.html'}"], 0),
                     (["evaluate", "memory://bucket/run", "--source=csv:other.csv"], 2)):
    monkeypatch.setattr(sys, "argv", ["vft", *args])
    assert cli.main() == code
  assert (tmp_path / "page.html").exists() and "by --output=FOLDER" in capsys.readouterr().err


def test_original_names_with_merged_lora_are_read_back_and_checked(work, tmp_path, monkeypatch, capsys):
  assert call(monkeypatch, work, tmp_path / "out", "--format=safetensors") == 0
  assert "36 arrays of videomae under the names of its original. Equal to the run within" in capsys.readouterr().out
  assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["README.md", "export.json", "model.safetensors"]
  arrays = formats.read(tmp_path / "out" / "model.safetensors").arrays
  assert arrays["classifier.weight"].shape == (2, 32)
  assert "36 arrays of videomae under the names" in (tmp_path / "out" / "README.md").read_text()

  config, tasks, begin = predict.load_run(work)
  params, name = begin.state.best_params, "block_01/mlp/fc1/kernel"
  a, b = np.ones((params[name].shape[-2], 1), np.float32), np.ones((1, params[name].shape[-1]), np.float32)
  lora = {**params, f"lora/{name}/a": a, f"lora/{name}/b": b}
  begin = dataclasses.replace(begin, state=dataclasses.replace(begin.state, params=lora))
  made = program.make(config, tasks, begin)
  original.write(tmp_path, made, begin)
  kernel = formats.read(tmp_path / "model.safetensors").arrays["videomae.encoder.layer.1.intermediate.dense.weight"].T
  np.testing.assert_allclose(kernel, params[name] + begin.model.lora_alpha, rtol=1e-6)
  made.weights[name] = made.weights[name] + np.float32(1e-6)
  with pytest.raises(RunError, match=r"1 arrays are not read back as they were, such as .'block_01/mlp/fc1/kernel'"):
    original.run(tmp_path, made, begin, np.zeros((1, *made.shape), np.uint8))


def test_onnx_where_it_is_installed_and_what_to_install_elsewhere(work, tiny_csv, tmp_path, monkeypatch, capsys):
  if not importlib.util.find_spec("jax2onnx"):
    assert call(monkeypatch, work, tmp_path / "out", "--format=onnx") == 2
    assert "pip install -e . jax2onnx onnxruntime" in capsys.readouterr().err and not (tmp_path / "out").exists()
    return
  config = tiny.make_config(tiny_csv, tmp_path / "work", train=dict(epochs=1),
                            data=dict(resize=32, size=32))
  runs.run(config, tmp_path / "run")
  assert call(monkeypatch, tmp_path / "run", tmp_path / "out", "--format=onnx") == 0
  assert "A graph of videomae for one clip at a time. Equal to the run within" in capsys.readouterr().out


def test_an_export_that_says_something_else_is_refused(work):
  config, tasks, begin = predict.load_run(work)
  made, (video, _) = program.make(config, tasks, begin), program.find_clips(config, work)
  found = jax.jit(made.call)(made.weights, video)
  assert program.check(tasks, begin, video, found) <= 1e-5
  with pytest.raises(RunError, match=r"differs from the run by 0\.0002 in 'label'"):
    program.check(tasks, begin, video, {"label": np.asarray(found["label"]) + np.float32(2e-4)})
  config = config.copy_and_resolve_references()
  config.data.source = "csv:/gone/clips.csv"
  video, what = program.find_clips(config, work)
  assert video.shape == (8, *made.shape) and "noise" in what
  assert card.about(config, tasks, begin, work)["input"]["views"] == 2
