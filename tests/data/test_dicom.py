import io
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import data_store
import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import get_decoder
from pydicom.uid import JPEGLosslessSV1

from configs import default
from tests.clips import frames
from tests.data.dicoms import NAME, NUMBER, write_dicom
from vft.data import dicom_identity, manifest, readers, sources
from vft.errors import DataError

LIMIT = 10_000_000
REAL = Path(data_store.__path__[0]) / "data"
ECHO = str(REAL / "color3d_jpeg_baseline.dcm")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
  """A cache folder of its own, so that the salt of the machine stays untouched."""
  folder = tmp_path_factory.mktemp("home")
  monkeypatch.setenv("HOME", str(folder))
  return folder


def read(path, *times_s, resize=16, **how):
  return readers.read_clip(path, np.array(times_s), resize=resize, max_pixels=LIMIT, **how)


def fault(path, **how):
  with pytest.raises(DataError) as e:
    readers.probe(path, max_pixels=how.pop("max_pixels", LIMIT), **how)
  assert e.value.__cause__ is None and "\n" not in str(e.value)
  return str(e.value)


def coloured(count=4):
  """Red, then green, then blue frames, bright as clips.frames."""
  video = frames(count)
  for i in range(count):
    video[i, :, :, [c for c in range(3) if c != i % 3]] = 0
  return video


@pytest.mark.parametrize("syntax, kind", [("raw", "RGB"), ("raw", "YBR_FULL"), ("rle", "RGB"), ("rle", "YBR_FULL"),
                                          ("jpeg2000", "RGB"), ("jpeg", "YBR_FULL_422")])
def test_colour_cines_of_every_syntax_show_their_frames(tmp_path, syntax, kind):
  path = write_dicom(tmp_path / "a.dcm", coloured(), syntax=syntax, kind=kind)
  shown = read(path, 0.0, 0.1, 0.16, 0.3)[:, 8, 8].astype(int)
  assert np.abs(shown - [[20, 0, 0], [0, 40, 0], [0, 0, 60], [80, 0, 0]]).max() <= 3
  info = readers.probe(path, max_pixels=LIMIT)
  assert (info.duration_s, info.fps, info.width, info.height) == (pytest.approx(0.4), pytest.approx(10), 64, 48)


@pytest.mark.parametrize("name", ["JPEG-LL.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "emri_small_jpeg_ls_lossless.dcm"])
def test_lossless_jpeg_is_read(name):
  values = pydicom.dcmread(REAL / name).pixel_array
  window = (float(values.mean()), float(values.max()))
  shown = read(str(REAL / name), 0.0, resize=64, frame_rate=10.0, window=window)
  assert shown.std() > 10 and (shown[..., 0] == shown[..., 1]).all()


def test_real_files_read_alike_in_every_syntax():
  shown = [read(str(REAL / f"emri_small{name}.dcm"), 0.0, 0.3, resize=64, frame_rate=10.0)
           for name in ("", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless")]
  assert all((s == shown[0]).all() for s in shown[1:]) and shown[0].std() > 5


def test_a_palette_becomes_colour(tmp_path):
  shown = read(get_testdata_file("examples_palette.dcm"), 0.0, resize=64)[0].astype(int)
  assert np.abs(shown[..., 0] - shown[..., 2]).max() > 50


def grey(count=2):
  return (np.arange(count, dtype=np.uint16)[:, None, None] * 1000 + np.zeros((48, 64), np.uint16)).astype(np.uint16)


@pytest.mark.parametrize("kind, tags, window, expected", [
    ("MONOCHROME2", {}, (), [0, 4]),  # the whole range of 16 bits
    ("MONOCHROME2", {"BitsStored": 12, "HighBit": 11}, (), [0, 62]),
    ("MONOCHROME2", {"WindowCenter": 1000, "WindowWidth": 2000}, (), [0, 128]),
    ("MONOCHROME2", {"WindowCenter": [1000, 5], "WindowWidth": [2000, 5]}, (), [0, 128]),
    ("MONOCHROME1", {"WindowCenter": 1000, "WindowWidth": 2000}, (), [255, 127]),
    ("MONOCHROME2", {"WindowCenter": 1000, "WindowWidth": 2000}, (500, 4000), [96, 160]),
    ("MONOCHROME2", {"WindowCenter": 1000, "WindowWidth": 2000, "VOILUTFunction": "SIGMOID"}, (), [30, 128]),
    ("MONOCHROME2", {"RescaleSlope": 2, "RescaleIntercept": 100, "WindowCenter": 2100, "WindowWidth": 4000}, (),
     [0, 128]),
])
def test_grey_values_pass_the_window_of_the_header_or_of_the_config(tmp_path, kind, tags, window, expected):
  path = write_dicom(tmp_path / "a.dcm", grey(), kind=kind, **tags)
  assert np.abs(read(path, 0.0, 0.1, window=window)[:, 8, 8, 0].astype(int) - expected).max() <= 1


def functions(window=None, slope=None):
  """An item of the functional groups of an enhanced file: (centre, width), and the slope of the rescaling."""
  item = pydicom.Dataset()
  for name, values in (("FrameVOILUT", window and {"WindowCenter": window[0], "WindowWidth": window[1]}),
                       ("PixelValueTransformation", slope and {"RescaleSlope": slope, "RescaleIntercept": 0})):
    if values:
      inner = pydicom.Dataset()
      for tag, value in values.items():
        setattr(inner, tag, value)
      setattr(item, f"{name}Sequence", [inner])
  return item


@pytest.mark.parametrize("each, shared, expected", [
    ([], functions((1000, 2000), 2), [0, 255]),
    ([functions((1000, 2000)), functions((2000, 4000))], functions(slope=2), [0, 128]),
    ([functions((1000, 2000)), functions()], functions((4000, 8000)), [0, 32]),  # what a frame has not, all have
], ids=["shared", "each", "both"])
def test_windows_of_enhanced_files_are_those_of_the_frame_or_of_all(tmp_path, each, shared, expected):
  path = write_dicom(tmp_path / "a.dcm", grey(), SharedFunctionalGroupsSequence=[shared],
                     PerFrameFunctionalGroupsSequence=each)
  assert np.abs(read(path, 0.0, 0.1)[:, 8, 8, 0].astype(int) - expected).max() <= 1
  assert np.abs(read(path, 0.1)[0, 8, 8, 0].astype(int) - expected[1]).max() <= 1  # by itself too


@pytest.mark.parametrize("tags, times", [
    ({"FrameTime": 50.0}, (0.0, 0.05, 0.1, 0.15)),
    ({"FrameTime": None, "CineRate": 20}, (0.0, 0.05, 0.1, 0.15)),
    ({"FrameTime": None, "RecommendedDisplayFrameRate": 5}, (0.0, 0.2, 0.4, 0.6)),
    ({"FrameTime": None, "FrameTimeVector": [0, 10, 500, 20]}, (0.0, 0.01, 0.51, 0.53)),
])
def test_frames_are_found_by_the_times_of_the_header(tmp_path, tags, times):
  path = write_dicom(tmp_path / "a.dcm", frames(4), **tags)
  shown = [round((int(v) - 20) / 20) for v in read(path, *times, 9.0)[:, 8, 8, 0]]
  assert shown == [0, 1, 2, 3, 3]
  step = times[-1] / 3
  assert readers.probe(path, max_pixels=LIMIT).duration_s == pytest.approx(times[-1] + step)


def test_a_cine_without_times_takes_the_rate_of_the_config(tmp_path):
  path = write_dicom(tmp_path / "a.dcm", frames(4), FrameTime=None)
  assert fault(path) == "a cine without frame times in its header: give --config.data.frame_rate=HZ"
  assert readers.probe(path, max_pixels=LIMIT, frame_rate=8.0).duration_s == pytest.approx(0.5)


def test_a_single_frame_and_bytes_are_videos(tmp_path):
  path = write_dicom(tmp_path / "without_suffix", frames(1), FrameTime=None, NumberOfFrames=None)
  assert (read(path, 0.0, 3.0)[:, 8, 8, 0] == 20).all()
  assert (read(Path(path).read_bytes(), 0.0) == read(path, 0.0)).all()


def test_one_frame_is_in_memory_at_a_time(tmp_path):
  """400 frames of 300 kB, and 4 of them read: the peak stays below a tenth of the file."""
  path = write_dicom(tmp_path / "a.dcm", np.zeros((400, 320, 320, 3), np.uint8))
  warm = write_dicom(tmp_path / "warm.dcm", frames(1))
  code = f"""if True:
    import numpy as np
    def peak():  # not getrusage: its peak is handed down from the process that started this one
      with open("/proc/self/status") as file:
        return int(next(line for line in file if line.startswith("VmHWM")).split()[1])
    from vft.data import readers
    read = lambda path, *t: readers.read_clip(path, np.array(t), resize=16, max_pixels=10**8)
    read({warm!r}, 0.0)  # loads the libraries
    before = peak()
    read({path!r}, 0.0, 10.0, 20.0, 39.9)
    readers.probe({path!r}, max_pixels=10**8)
    print(peak() - before)"""
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
  assert os.path.getsize(path) > 120e6 and int(out) < 12_000  # kB


@pytest.mark.fault("F66", "DICOM empty, text, preamble alone, cut", "skipped, each by its reason")
def test_what_is_no_whole_dicom_file_is_named(tmp_path):
  good = Path(write_dicom(tmp_path / "good.dcm", frames(10), syntax="rle")).read_bytes()
  raw = Path(write_dicom(tmp_path / "raw.dcm", frames(10))).read_bytes()
  for name, content in (("empty", b""), ("text", b"hello, DOE^JANE"), ("preamble", good[:132]),
                        ("cut", good[:len(good) - 500]), ("half", raw[:len(raw) // 2]), ("head", good[:600])):
    (tmp_path / f"{name}.dcm").write_bytes(content)
  assert fault(str(tmp_path / "empty.dcm")) == "empty file"
  assert fault(str(tmp_path / "text.dcm")) == "not DICOM: no 'DICM' at byte 128"
  for name, start in (("preamble", "DICOM without pixels"), ("cut", "damaged: frame"), ("half", "damaged: frame"),
                      ("head", "damaged: frame 1")):
    assert fault(str(tmp_path / f"{name}.dcm")).startswith(start), name


@pytest.mark.fault("F30", "float DICOM with NaN", "skipped: 'not finite'")
def test_values_that_are_not_finite_and_huge_frames_are_refused(tmp_path):
  path = write_dicom(tmp_path / "a.dcm", frames(2))
  assert fault(path, max_pixels=3000) == "frame 64x48 over data.max_pixels 3000"
  data = pydicom.dcmread(path)
  del data.PixelData
  data.FloatPixelData = np.full((2, 48, 64), np.nan, np.float32).tobytes()
  data.BitsAllocated, data.SamplesPerPixel, data.PhotometricInterpretation = 32, 1, "MONOCHROME2"
  for tag in ("BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"):
    delattr(data, tag)
  data.save_as(tmp_path / "nan.dcm")
  assert "not finite" in fault(str(tmp_path / "nan.dcm"), window=(0.0, 1.0))


@pytest.mark.fault("F67", "JPEG DICOM without its decoder", "skipped: 'pip install pylibjpeg pylibjpeg-libjpeg'")
def test_a_missing_decoder_is_named(monkeypatch):
  monkeypatch.setattr(get_decoder(JPEGLosslessSV1), "_available", {})
  assert fault(str(REAL / "JPGLosslessP14SV1_1s_1f_8b.dcm")).endswith("pip install pylibjpeg pylibjpeg-libjpeg")


@pytest.mark.fault("F68", "DICOMDIR that leads out of its folder", "pydicom >= 3.0.2 asked for; never followed")
def test_dicomdir_cannot_lead_out_of_its_folder():
  """By pydicom 3.0.2, which vft asks for; vft itself never follows a DICOMDIR."""
  assert tuple(int(v) for v in pydicom.__version__.split(".")[:3]) >= (3, 0, 2)


def test_no_error_or_warning_quotes_the_header(tmp_path, capfd):
  path = write_dicom(tmp_path / "a.dcm", frames(2))
  data = Path(path).read_bytes()
  for old in (b"FrameTime", b"100.0 "):
    data = data.replace(old, NAME.encode()[:len(old)])
  (tmp_path / "b.dcm").write_bytes(data)
  assert "DOE" not in fault(str(tmp_path / "b.dcm"))
  assert "DOE" not in "".join(capfd.readouterr())


# The source.


def folder_of(tmp_path, patients=6, labels_csv=False, **tags):
  """Two classes, two cines each of some patients, whose numbers fall in the order of paths."""
  lines = ["path,label"]
  for p in range(patients):
    for c in range(2):
      label = "weak" if p % 2 else "normal"
      folder = tmp_path / "study" / ("flat" if labels_csv else label)
      folder.mkdir(parents=True, exist_ok=True)
      write_dicom(folder / f"{p}_{c}.dcm", frames(10, first=20 + p, step=10 + c), patient=f"{NUMBER}-{9 - p}", **tags)
      lines.append(f"flat/{p}_{c}.dcm,{label}")
  if labels_csv:
    (tmp_path / "study" / "labels.csv").write_text("\n".join(lines) + "\n")
  (folder / "DICOMDIR").write_bytes(b"an index")
  config = default.get_config()
  config.data.update(source=f"dicom:{tmp_path}/study", num_frames=4, fps=5.0)
  return config


@pytest.mark.parametrize("labels_csv", [False, True])
def test_patients_are_known_by_a_salted_hash_and_nothing_else(tmp_path, labels_csv):
  config = folder_of(tmp_path, labels_csv=labels_csv)
  made = manifest.make_manifest(config)
  assert made.grouped_by == "patient" and set(made.table.label) == {"normal", "weak"} and len(made.table) == 12
  assert made.table.group.nunique() == 6 and made.table.group.str.fullmatch(r"p00000\d-[0-9a-f]{16}").all()
  assert not re.search(f"{NUMBER}|DOE|1947", re.sub("[0-9a-f]{16,}", "", made.text))  # digests hold 1947 by chance
  assert made.table.sha256.str.len().eq(64).all()


def test_a_patient_of_some_listed_and_some_unlisted_files_is_one(tmp_path):
  config = folder_of(tmp_path, labels_csv=True)
  file = tmp_path / "study" / "labels.csv"
  first, *lines = file.read_text().splitlines()
  more = [f"{line},{'MRN-7' if i == 0 else ''}" for i, line in enumerate(lines)]
  file.write_text("\n".join([f"{first},group", *more]))
  groups = sources.open_source(config.data.source, config.data).rows().group
  assert groups.nunique() == 6 and groups[0] == groups[1]


def test_splits_do_not_depend_on_the_salt(tmp_path, home):
  config = folder_of(tmp_path)
  first = manifest.make_manifest(config).table
  (home / ".cache/vft/dicom_salt").unlink()
  second = manifest.make_manifest(config).table
  assert (first.group != second.group).all() and (first.split == second.split).all()
  assert (first.group.str[:7] == second.group.str[:7]).all()


def test_the_salt_is_private_lasting_and_checked(home):
  path = home / ".cache/vft/dicom_salt"
  assert dicom_identity.pseudonym("4711") == dicom_identity.pseudonym(" 4711 ") != dicom_identity.pseudonym("4712")
  assert stat.S_IMODE(path.stat().st_mode) == 0o600 and os.listdir(path.parent) == ["dicom_salt"]
  path.chmod(0o644)
  with pytest.raises(DataError, match=r"may be read by others.*\n.*chmod 600"):
    dicom_identity.load_salt()
  path.chmod(0o600)
  path.write_bytes(b"short")
  with pytest.raises(DataError, match="has 5 bytes; expected 32"):
    dicom_identity.load_salt()


def test_a_file_without_a_patient_is_its_own_group(tmp_path):
  write_dicom(tmp_path / "a.dcm", frames(1), patient="")
  (tmp_path / "b.dcm").write_bytes(b"no DICOM")
  assert dicom_identity.patient_of(str(tmp_path / "a.dcm")) == dicom_identity.patient_of(str(tmp_path / "b.dcm")) == ""


@pytest.mark.fault("F64", "BurnedInAnnotation=YES", "warning with the count; data.mask blackens boxes")
def test_the_flag_of_burned_in_text_is_a_warning(tmp_path):
  made = manifest.make_manifest(folder_of(tmp_path, BurnedInAnnotation="YES"))
  assert made.warnings[0].startswith("12 of 12 DICOM files say that text is burned into their pixels")
  assert manifest.make_manifest(folder_of(tmp_path)).warnings == ()


def test_a_source_is_found_by_its_name(tmp_path):
  config = folder_of(tmp_path, patients=1)
  source = sources.open_source(config.data.source, config.data)
  assert source.read("normal/0_0.dcm") == f"{tmp_path}/study/normal/0_0.dcm"
  with pytest.raises(DataError, match=r"outside config\.data\.root"):
    source.read("../../etc/passwd")


def test_bytes_in_memory_take_no_file(tmp_path):
  content = Path(write_dicom(tmp_path / "a.dcm", frames(3))).read_bytes()
  assert isinstance(content, bytes) and readers.probe(content, max_pixels=LIMIT).fps == pytest.approx(10)
  assert io.BytesIO(content).read(132)[128:] == b"DICM"


def test_more_frames_than_bytes_are_a_lie(tmp_path):
  path = write_dicom(tmp_path / "a.dcm", frames(2))
  data = pydicom.dcmread(path)
  data.NumberOfFrames = 2**31 - 1  # their times alone would take 17 GB
  data.save_as(path)
  assert fault(path) == "damaged header: more frames than bytes"
