"""What a config or a file may not do: run code, lead out of its folder, or give a secret away."""
import json
import logging
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import tiny
from vft import cli, main, models
from vft import config as configs
from vft.config import masking
from vft.convert import formats
from vft.data import readers, sources
from vft.errors import ConfigError, DataError, VftError

ROOT = Path(__file__).resolve().parents[2]


def parsed(*flags):
  config, _ = main.parse(["--config=medical", *flags])
  configs.check(config)
  return config


@pytest.mark.fault("F59", "__import__, YAML tags and import paths in flags", "exit 2; nothing ran")
@pytest.mark.parametrize("flag", [
    "model.mean=__import__('os').system('touch marker')", "data.split=(__import__('os').system('touch marker'),)",
    "train.batch=__import__('os').system('touch marker')", "rules=!!python/object/apply:os.system [touch marker]",
    "data.source=os:system", "model.head=os.system", "loss.name=posix.system", "controls=('os.system',)",
    "optim.name=!!python/name:os.system", "data.workers=exec('import os')"])
def test_a_flag_runs_no_code(flag, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ConfigError):
    sources.check_kind(parsed(f"--config.{flag}").data.source)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.fault("F59", "import path as the name of a model", "exit 2 with the known names")
def test_models_are_known_by_registered_names_only():
  for name in ("os.system", "vft.models.i3d", "../i3d", "__import__('os')"):
    with pytest.raises(VftError, match="i3d"):
      models.make(name, num_classes=2)


@pytest.mark.fault("F60", "config.py with code beside a run's config.json", "never executed")
def test_a_config_beside_that_of_a_run_is_not_run(tmp_path, monkeypatch):
  (tmp_path / "config.json").write_text(configs.to_json(configs.load("medical")))
  for name in ("config.py", "medical.py", "default.py", "configs.py"):
    (tmp_path / name).write_text("open('marker', 'w').write('')\n")
  monkeypatch.chdir(tmp_path)
  configs.check(configs.load(str(tmp_path / "config.json")))
  monkeypatch.setattr(sys, "argv", ["vft", "predict", str(tmp_path), "none.mp4"])
  assert cli.main() == 3 and not (tmp_path / "marker").exists()


@pytest.mark.fault("F28", "playlist that points elsewhere; URLs", "skipped: 'not a video', 'no such file'")
def test_only_local_files_are_opened(tmp_path):
  for text in ("#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "ffconcat version 1.0\nfile /etc/passwd\n"):
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(DataError, match="not a video: starts with"):
      readers.probe(str(tmp_path / "list.mp4"), max_pixels=10**6)
  for url in ("file:/etc/passwd", "concat:a.mp4|b.mp4", "http://127.0.0.1:9/a.mp4", "subfile,,start,0,end,0,,:a"):
    with pytest.raises(DataError, match="no such file"):
      readers.probe(url, max_pixels=10**6)


@pytest.mark.fault("F28b", "archive with '../' members as weights", "exit 4; nothing written, vft unpacks none")
def test_members_of_an_archive_cannot_leave_it(tmp_path):
  inner = tmp_path / "a/b"
  inner.mkdir(parents=True)
  with zipfile.ZipFile(inner / "w.pth", "w") as archive:
    for name in ("archive/data.pkl", "../../evil", "/evil", "archive/../../../evil"):
      archive.writestr(name, b"}.")
  with pytest.raises(VftError):
    formats.read(inner / "w.pth")
  assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["w.pth"]
  for path in (ROOT / "vft").rglob("*.py"):
    text = path.read_text()
    assert not any(word in text for word in ("extractall", "unpack_archive", "import tarfile")), path


@pytest.mark.fault("F55", "pickle.load, eval, yaml.load or a shell in vft's code", "ruff stops the check")
@pytest.mark.parametrize(("line", "rule"), [
    ("import pickle\n\npickle.load(open('x', 'rb'))\n", "S301"), ("eval('1')\n", "S307"), ("exec('1')\n", "S102"),
    ("import subprocess\n\nsubprocess.run('ls', shell=True)\n", "S602"), ("import yaml\n\nyaml.load('x')\n", "S506"),
    ("import tarfile\n\ntarfile.open('x').extractall()\n", "S202")])
def test_ruff_refuses_code_that_runs_what_it_reads(line, rule):
  ruff = Path(sys.executable).with_name("ruff")
  said = subprocess.run([ruff, "check", "--no-cache", "--stdin-filename=vft/x.py", "-"], input=line, text=True,
                        capture_output=True, cwd=ROOT).stdout
  assert rule in said


@pytest.mark.fault("F70", "token in data.options: saved config, difference", "masked; the same command still goes on")
def test_a_secret_is_not_in_a_saved_config(tmp_path):
  config = tiny.make_config(tmp_path / "x.csv", tmp_path)
  with config.unlocked():
    config.data.options = dict(hf_token="hf_abcdef", view="A4C", login=dict(password="pass1234"), key="plain", token="")
  text = configs.to_json(config)
  assert "hf_abcdef" not in text and "pass1234" not in text and '"view": "A4C"' in text and '"key": "plain"' in text
  assert json.loads(text)["data"]["options"] == dict(hf_token="(masked)", view="A4C", login=dict(password="(masked)"),
                                                     key="plain", token="")
  assert configs.difference(configs.from_json(text), config) == []


@pytest.mark.fault("F70", "token in a flag, a URL or the environment: messages", "masked on the terminal and in logs")
def test_a_secret_is_not_in_a_message(monkeypatch, capsys):
  monkeypatch.setenv("MY_SECRET", "s3cr3t-v4lue")
  said = ("config.data.options.api_key=abc123 --password: 'hunter22' https://me:hunter22@host/x {\"token\": \"tok1\"} "
          "of s3cr3t-v4lue; tokens=5")
  clean = masking.masked_text(said)
  assert not any(word in clean for word in ("abc123", "hunter22", "tok1", "s3cr3t"))
  assert "tokens=5" in clean and "https://me:(masked)@host/x" in clean and masking.masked_text(clean) == clean
  assert main.main(["--config=medical", "--config.data.options_token=abc123", "--config.nothing.token=abc123"]) == 2
  assert "abc123" not in capsys.readouterr().err
  record = logging.LogRecord("x", logging.WARNING, "", 1, "password=%s", ("hunter22",), None)
  assert masking.Formatter("%(message)s").format(record) == "password=(masked)"
