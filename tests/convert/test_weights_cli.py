"""vft weights: what is printed, what is written, which exit code."""
import json
import pickle
import sys

import numpy as np
import pytest
from safetensors.numpy import load_file

from tests.convert.test_convert import MODEL, SHAPES, foreign
from vft import cli, convert, startup, trees
from vft import config as configs
from vft.convert import entries, formats, registry
from vft.tasks import Task

TASKS = (Task(classes=("a", "b")),)


@pytest.fixture
def vft(monkeypatch, capsys, tmp_path):
  """vft("list") -> (exit code, stdout, stderr) of `vft weights list`, in a folder and with a cache of its own."""
  monkeypatch.chdir(tmp_path)
  monkeypatch.setenv("VFT_CACHE", str(tmp_path / "cache"))
  monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
  monkeypatch.setenv("VFT_OFFLINE", "1")

  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", "weights", *map(str, args)])
    code = cli.main()
    return (code, *capsys.readouterr())
  return call


def fails(result, code, *words):
  got, _, err = result
  assert got == code and err.startswith("vft: ") and "Traceback" not in err, err
  for word in words:
    assert word in err, err


@pytest.fixture
def tiny_file(tmp_path):
  """A foreign file of the tiny I3D, with 4 classes, and what is in it."""
  arrays = foreign(SHAPES)
  (tmp_path / "tiny.pkl").write_bytes(pickle.dumps(trees.unflatten({**arrays, "params/Other/x": np.ones(2)})))
  return tmp_path / "tiny.pkl", arrays


def test_list_fits_a_terminal_and_names_everything(vft):
  code, out, _ = vft("list")
  assert code == 0 and all(name in out for name in registry.REGISTRY)
  assert max(map(len, out.splitlines())) <= 120
  assert "installed" in next(line for line in out.splitlines() if line.startswith("i3d_k400"))
  rows = json.loads(vft("list", "--json")[1])
  assert [r["name"] for r in rows] == list(registry.REGISTRY)
  assert {"family", "variant", "source", "megabytes", "licence", "here", "pin", "path"} <= set(rows[0])


def test_show_of_a_name_has_the_entry_and_downloads_nothing(vft):
  code, out, _ = vft("show", "r3d_18_k400")
  assert code == 0
  for word in ("video_resnet", "r3d_18-b3b3357e.pth", "BSD-3-Clause", "63.2 %", "sha256 b3b3357e...", "0.43216",
               "400: abseiling", "vft weights fetch r3d_18_k400"):
    assert word in out
  assert "conv_1a/conv/kernel" in vft("show", "i3d_k400")[1]


def test_show_of_a_file_says_whose_it_is_and_what_becomes_of_each_array(vft, tiny_file):
  code, out, _ = vft("show", tiny_file[0])
  assert code == 0 and "pickle, 231 arrays" in out and "the rules of i3d know 230 of them" in out
  rows = [line.split() for line in out.splitlines()]
  assert ["params/Other/x", "(2,)", "?"] in rows
  row = next(r for r in rows if r[0] == "params/Logits/Conv3d_0c_1x1/Conv_0/kernel")
  assert row[1:6] == ["(1,", "1,", "1,", "128,", "4)"] and row[6:] == ["head/label/kernel", "(128,", "4)"]
  fails(vft("show", tiny_file[0], "--family=i4d"), 2, "did you mean 'i3d'")
  fails(vft("show", "r3d_18_k40"), 4, "did you mean 'r3d_18_k400'")


def test_fetch_offline_names_the_address_and_the_place(vft, tmp_path, monkeypatch):
  fails(vft("fetch", "resnet18_imagenet"), 4, "https://download.pytorch.org/models/resnet18-f37072fd.pth",
        str(tmp_path / "cache/resnet18_imagenet/resnet18-f37072fd.pth"), "downloads are off")
  monkeypatch.delenv("VFT_OFFLINE")
  fails(vft("fetch", "resnet18_imagenet", "--offline", f"--cache={tmp_path}/other"), 4, f"{tmp_path}/other/resnet18")
  code, out, _ = vft("fetch", "i3d_k400")
  assert code == 0 and "i3d-kinetics-400.ckpt  sha256 af5c50f0" in out


def test_verify_checks_all_that_is_here(vft, tmp_path, monkeypatch):
  monkeypatch.setattr(registry, "REGISTRY", {name: registry.REGISTRY[name] for name in ("i3d_k400", "dinov2_s14")})
  code, out, _ = vft("verify")
  assert code == 0 and "i3d_k400" in out and "dinov2_s14" not in out
  fails(vft("verify", "dinov2_s14"), 4, "not on this machine: vft weights fetch dinov2_s14")
  place = tmp_path / "cache/dinov2_s14/model.safetensors"
  place.parent.mkdir(parents=True)
  place.write_bytes(b"one")
  assert vft("verify", "dinov2_s14")[0] == 0
  place.write_bytes(b"two")
  got = vft("verify")
  fails(got, 4, "model.safetensors has another sha256 than the one first used for dinov2_s14")
  assert "i3d_k400                     good" in got[1] and "BAD" in got[1]


def test_a_converted_file_loads_by_itself_with_its_labels_and_statistics(vft, tmp_path, tiny_file):
  source, arrays = tiny_file
  (tmp_path / "labels.txt").write_bytes("\ufeffa\r\nb\r\nc\r\nd\r\n".encode())  # as some editors write it
  code, out, _ = vft("convert", source, "own.safetensors", "--family=i3d", "--variant=tiny", "--labels=labels.txt",
                     "--mean", 0.1, 0.2, 0.3, "--std", 0.4, 0.5, 0.6)
  assert code == 0 and "230 arrays of i3d tiny" in out and "params/Other/x" in out
  about = json.loads((tmp_path / "own.json").read_text())
  assert (about["family"], about["variant"], about["labels"]) == ("i3d", "tiny", ["a", "b", "c", "d"])
  assert about["mean"] == [0.1, 0.2, 0.3] and len(about["sha256"]) == 64 and about["source"] == "tiny.pkl"
  assert len(load_file(tmp_path / "own.safetensors")) == 230  # any program reads it
  file = formats.read(tmp_path / "own.safetensors")
  assert file.own and file.labels == ("a", "b", "c", "d")
  ours, _ = convert.load(SHAPES, str(tmp_path / "own.safetensors"), model=MODEL)
  theirs, _ = convert.load(SHAPES, str(source), model=MODEL)
  assert trees.sha256(trees.flatten(ours)) == trees.sha256(trees.flatten(theirs))
  assert "own file   family i3d" in vft("show", "own.safetensors")[1] and arrays


def test_convert_refuses_what_it_cannot_do_and_leaves_nothing(vft, tmp_path, tiny_file):
  source, _ = tiny_file
  (tmp_path / "labels.txt").write_text("a\nb\n")
  fails(vft("convert", source, "own.safetensors"), 2, "--family is ''", "i3d")
  fails(vft("convert", source, "own.bin", "--family=i3d"), 2, "does not end in .safetensors")
  fails(vft("convert", source, "own.safetensors", "--family=i3d"), 4, "of another shape", "--variant", "'tiny'")
  fails(vft("convert", source, "own.safetensors", "--family=resnet", "--variant=18"), 4, "in the model, not in")
  fails(vft("convert", source, "own.safetensors", "--family=i3d", "--variant=tiny", "--labels=labels.txt"), 2,
        "2 labels; the classifier has 4 classes")
  fails(vft("convert", source, "own.safetensors", "--family=i3d", "--variant=tiny", "--labels=none.txt"), 2,
        "--labels=none.txt: No such file", "one class a line")
  assert not list(tmp_path.glob("*own*"))
  assert vft("convert", source, "own.safetensors", "--family=i3d", "--variant=tiny")[0] == 0
  fails(vft("convert", source, "own.safetensors", "--family=i3d", "--variant=tiny"), 2, "exists already")


def test_convert_of_a_name_takes_all_from_its_entry(vft, tmp_path):
  code, out, _ = vft("convert", "i3d_k400", "own.safetensors")
  about = json.loads((tmp_path / "own.json").read_text())
  assert code == 0 and about["sha256"] == registry.REGISTRY["i3d_k400"].sha256 and about["licence"].startswith("MIT")
  assert "use --config.init.weights=own.safetensors" in out and about["mean"] == [0.5] * 3


def test_the_input_statistics_of_a_model_are_those_of_its_weights_unless_the_config_says(tmp_path, monkeypatch):
  entry = entries.Entry(name="mine", family="i3d", licence="MIT", url="http://127.0.0.1:1/w", mean=(0.1,) * 3,
                        std=(0.2,) * 3)
  monkeypatch.setitem(registry.REGISTRY, "mine", entry)
  monkeypatch.setenv("VFT_CACHE", str(tmp_path))
  (tmp_path / "mine").mkdir()
  (tmp_path / "mine" / "w").write_bytes(b"weights")
  config = configs.load("default")
  config.model.update(name="i3d", variant="tiny")
  assert startup.make_model(config, TASKS).mean == (0.5,) * 3
  config.init.weights = "mine"
  model = startup.make_model(config, TASKS)
  assert (model.mean, model.std) == ((0.1,) * 3, (0.2,) * 3)
  config.model.mean = (0.3, 0.3, 0.3)
  model = startup.make_model(config, TASKS)
  assert (model.mean, model.std) == ((0.3,) * 3, (0.2,) * 3)
