"""Whatever a file or a flag holds: what comes out is a result or an error of vft; no crash, no hang, no code run.

A few inputs each; the long run takes 100,000 of them: python -m pytest -m long tests/faults/test_any_input.py
"""
import contextlib
import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from configs import default
from tests.clips import frames
from tests.data.dicoms import write_dicom
from vft import config as configs
from vft import main
from vft.convert import formats
from vft.data import manifest, readers
from vft.data.sources import csv_list
from vft.errors import VftError

FEW, MANY = 25, 25_000  # of each of four readers and the flags
SETTINGS = dict(deadline=20_000, database=None, suppress_health_check=list(HealthCheck))  # ms; a hang fails
GOLDEN = Path(__file__).resolve().parents[1] / "golden/files"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
  """A folder for the inputs, and the current one: code that ran would leave a file `marker` here."""
  folder = tmp_path_factory.mktemp("any")
  with contextlib.chdir(folder):
    yield folder
    assert not (folder / "marker").exists()


def fair(work):
  """A result, or an error of vft in words."""
  try:
    work()
  except VftError as e:
    assert str(e)


@st.composite
def damaged(draw, wholes):
  """A whole file with bytes changed, taken out, doubled or put in, and mostly one of its numbers made large."""
  data = bytearray(draw(st.sampled_from(wholes)))
  for _ in range(draw(st.integers(0, 4))):
    at = draw(st.integers(0, max(0, len(data) - 1)))
    length = draw(st.integers(0, 16))
    data[at:at + length] = draw(st.one_of(
        st.binary(max_size=16), st.just(bytes(data[at:at + length]) * 2),
        st.sampled_from([struct.pack("<Q", n) for n in (2**63, 2**40, 2**32 - 1)] + [b"\xff" * 4, b"\0" * 8])))
  return bytes(data[:draw(st.integers(0, len(data)))] if draw(st.booleans()) and len(data) > 8 else data)


SAFETENSORS = [save({"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(2, np.float16)})]
JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
                    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
                    max_leaves=8)


@st.composite
def headers(draw):
  """A safetensors file of a header that is made up."""
  leaf = st.fixed_dictionaries({"dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "X"]) | JSON,
                                "shape": st.lists(st.integers(-2, 2**62), max_size=3) | JSON,
                                "data_offsets": st.lists(st.integers(-8, 64), min_size=2, max_size=2) | JSON})
  text = json.dumps(draw(st.dictionaries(st.text(max_size=4), leaf | JSON, max_size=3))).encode()
  length = draw(st.sampled_from([len(text), len(text) + 8, 2**40, 0]))
  return struct.pack("<Q", length) + text + bytes(draw(st.integers(0, 64)))


CODE = [b"cos\nsystem\n(S'touch marker'\ntR", b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0ctouch marker\x85R",
        b"cbuiltins\neval\n(S'open(\"marker\", \"w\")'\ntR"]
OPCODES = [bytes([i]) for i in b"()}]{tldaesub0123pqrhjgKMJIFNVSXTUCB.\x80\x81\x85\x86\x87\x93\x94\x8c\x88\x89RQPcio"]


def in_zip(payload):
  out = io.BytesIO()
  with zipfile.ZipFile(out, "w") as archive:
    archive.writestr("archive/data.pkl", payload)
    archive.writestr("archive/data/0", bytes(64))
  return out.getvalue()


PICKLES = st.lists(st.sampled_from(OPCODES + CODE) | st.binary(max_size=4), max_size=30).map(b"".join)
TORCH = st.one_of(damaged([(GOLDEN / n).read_bytes() for n in ("zip.pth", "old.pth")] + [
    pickle.dumps({"a": np.ones(3)})]), PICKLES.map(lambda p: p + b"."), PICKLES.map(lambda p: in_zip(p + b".")))


def read_weights(place, name, data):
  (place / name).write_bytes(data)
  fair(lambda: formats.read(place / name))


def check_safetensors(place, examples):
  @settings(max_examples=examples, **SETTINGS)
  @given(damaged(SAFETENSORS) | headers())
  def check(data):
    read_weights(place, "w.safetensors", data)
  check()


def check_torch(place, examples):
  @settings(max_examples=examples, **SETTINGS)
  @given(TORCH)
  def check(data):
    read_weights(place, "w.pth", data)
    assert not os.path.exists("marker")
  check()


def check_dicom(place, examples):
  video = frames(2)
  wholes = [Path(write_dicom(place / f"{s}.dcm", video, syntax=s)).read_bytes() for s in ("raw", "rle", "jpeg2000")]
  @settings(max_examples=examples, **SETTINGS)
  @given(damaged(wholes))
  def check(data):
    fair(lambda: readers.read_clip(data, np.array([0.0, 0.1]), resize=8, max_pixels=10**6, frame_rate=10.0))
  check()


CELL = st.text(max_size=12) | st.sampled_from(
    ["path", "label", "patient", "split", "start_s", "end_s", "id", "row", "a.mp4", "../a.mp4", "/etc/passwd", "train",
     "nan", "inf", "-1", "1e999", "=cmd()", '"', "\ufeff", "\x00", ",", ""])
CSV = st.lists(st.lists(CELL, max_size=5).map(",".join), max_size=6).map("\n".join)


def check_manifest(place, examples):
  @settings(max_examples=examples, **SETTINGS)
  @given(CSV.map(str.encode) | st.binary(max_size=60) | CSV.map(lambda t: f"path,label,patient\na.mp4,x,\n{t}".encode(
      "utf-8", "surrogatepass")))
  def check(data):
    (place / "list.csv").write_bytes(data)
    fair(lambda: csv_list.CsvSource(str(place / "list.csv"), "", False, ("label",), ()).rows())
    config = default.get_config()
    config.data.source = f"csv:{place}/list.csv"
    fair(lambda: manifest.load(place / "list.csv", config))
  check()


FIELDS = sorted(configs.fields(default.get_config()))
VALUES = st.text(max_size=12) | JSON.map(str) | st.sampled_from(
    ["nan", "inf", "-1", "1e400", "(1,", "(nan,)", "True", "''", "__import__('os').system('touch marker')", "[]", "{}",
     "!!python/object/apply:os.system [touch marker]", "((1, 2), 3)", "9" * 400])


def check_flags(place, examples):
  @settings(max_examples=examples, **SETTINGS)
  @given(st.lists(st.tuples(st.sampled_from(FIELDS) | st.text(max_size=8), VALUES), min_size=1, max_size=3))
  @example([("rules", "((0, 0),)")])
  def check(pairs):
    flags = [f"--config.{k}={v}" for k, v in pairs]
    fair(lambda: configs.check(main.parse(["--config=medical", *flags])[0]))
    assert not os.path.exists("marker")
  check()


def check_json(place, examples):
  whole = json.loads(configs.to_json(configs.load("medical")))
  @settings(max_examples=examples, **SETTINGS)
  @given(st.sampled_from([f for f in FIELDS if f.count(".") == 1]), JSON)
  @example("augment.aspect", {"__init__": None})
  def check(field, value):
    section, name = field.split(".")
    (place / "config.json").write_text(json.dumps({**whole, section: {**whole[section], name: value}}))
    fair(lambda: configs.check(configs.load(str(place / "config.json"))))
  check()


CHECKS = [check_safetensors, check_torch, check_dicom, check_manifest, check_flags, check_json]


@pytest.mark.fault("F27", "any bytes as CSV or manifest", "a table, or exit 3")
@pytest.mark.fault("F55", "any bytes and opcodes as .pth", "arrays, or exit 4; nothing ran")
@pytest.mark.fault("F56", "any bytes and headers as safetensors", "arrays, or exit 4")
@pytest.mark.fault("F59", "any text as a flag, any value in a config.json", "a config, or exit 2; nothing ran")
@pytest.mark.fault("F66", "any damage to DICOM", "frames, or skipped with a reason")
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__[6:])
def test_any_input(check, place):
  check(place, FEW)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("check", CHECKS, ids=lambda c: c.__name__[6:])
def test_a_hundred_thousand_inputs(check, place):
  check(place, MANY)
