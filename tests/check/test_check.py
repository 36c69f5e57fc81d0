import contextlib
import csv
import io
import json
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import av
import numpy as np
import pytest

from configs import default
from tests import tiny
from tests.check.test_near import smooth
from tests.clips import frames, write_clip
from tests.data.dicoms import write_dicom
from tests.data.test_dicom import ECHO
from vft import cli
from vft.check import command
from vft.data import manifest
from vft.errors import DataError

SPLITS = ("train", "train", "val", "test")


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch):
  monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
  """Eight videos of eight patients, two classes, official splits: nothing is wrong with them."""
  folder = tmp_path_factory.mktemp("clips")
  lines = ["path,label,patient,split"]
  for i in range(8):
    write_clip(folder / f"{i}.mp4", smooth(10 + i, side=64))
    lines.append(f"{i}.mp4,{'weak' if i % 2 else 'normal'},p{i},{SPLITS[i // 2]}")
  (folder / "list.csv").write_text("\n".join(lines) + "\n")
  return folder


@pytest.fixture
def folder(clips, tmp_path):
  shutil.copytree(clips, tmp_path / "data")
  return tmp_path / "data"


def make_config(folder, **data):
  config = default.get_config()
  config.data.update(source=f"csv:{folder}/list.csv", num_frames=4, fps=5.0, resize=64, size=56, **data)
  config.log.progress = False
  return config


def add(folder, path, label="weak", patient="p1", split="train"):
  with (folder / "list.csv").open("a", newline="") as file:
    csv.writer(file).writerow([path, label, patient, split])


def check(folder, out, **kwargs):
  """(result or the error, {key of a finding: its items})."""
  data = {k: kwargs.pop(k) for k in list(kwargs) if k not in ("full", "against")}
  try:
    command.check(make_config(folder, **data), out, **kwargs)
    error = None
  except DataError as e:
    error = str(e)
  result = json.loads((out / "check.json").read_text())
  return result, {f["key"]: f for f in result["findings"]}, error


def test_a_sound_data_set_has_no_finding_and_its_manifest_is_that_of_a_run(folder, tmp_path, capsys):
  result, found, error = check(folder, tmp_path / "out")
  assert error is None and found == {} and result["stops_a_run"] == []
  assert result["files"] == result["usable"] == result["decoded_now"] == 8
  assert result["counts"]["train"]["classes"]["label"] == {"normal": {"clips": 2, "groups": 2},
                                                           "weak": {"clips": 2, "groups": 2}}
  made = manifest.make_manifest(make_config(folder))
  assert (tmp_path / "out/manifest.csv").read_text() == made.text
  assert "Nothing is wrong" in capsys.readouterr().out


def test_a_second_check_decodes_nothing_and_says_the_same(folder, tmp_path):
  first, _, _ = check(folder, tmp_path / "out")
  page = (tmp_path / "out/check.html").read_text()
  again, _, _ = check(folder, tmp_path / "out")
  assert (first["decoded_now"], again["decoded_now"]) == (8, 0)
  assert page.count("data:image/jpeg") == (tmp_path / "out/check.html").read_text().count("data:image/jpeg") == 8
  shutil.copy(folder / "0.mp4", folder / "0_moved.mp4")  # by content, not by name
  (folder / "list.csv").write_text((folder / "list.csv").read_text().replace("0.mp4", "0_moved.mp4"))
  assert check(folder, tmp_path / "out")[0]["decoded_now"] == 0
  assert check(folder, tmp_path / "out", crop="centre", mask=((0.0, 0.0, 0.1, 0.1),))[0]["decoded_now"] == 8
  full = check(folder, tmp_path / "out", full=True)[0]
  assert full["decoded_now"] == 8 and full["every_frame"]
  assert check(folder, tmp_path / "out")[0]["decoded_now"] == 0  # more was seen than is asked for


@pytest.mark.fault("F9", "one-frame video in `vft check`", "warning 'one_frame', counted")
@pytest.mark.fault("F30", "all-black, white and still video", "warnings 'black', 'one_value', 'still'")
def test_faults_of_files_are_found_and_none_is_deleted(folder, tmp_path):
  before = sorted(p.name for p in folder.iterdir())
  for name in ("empty.mp4", "black.mp4", "white.mp4", "still.mp4", "one.mp4", "bars.mp4", "fast.mp4", "gone.mp4",
               "dir.mp4", "link.mp4", "small.mp4"):
    add(folder, name)
  (folder / "empty.mp4").write_bytes(b"")
  (folder / "dir.mp4").mkdir()
  (folder / "link.mp4").symlink_to(folder / "nowhere.mp4")
  write_clip(folder / "black.mp4", np.zeros((20, 64, 64, 3), np.uint8))
  write_clip(folder / "white.mp4", np.full((20, 64, 64, 3), 255, np.uint8))
  write_clip(folder / "still.mp4", smooth(40, side=64)[:1].repeat(20, 0))
  write_clip(folder / "one.mp4", smooth(41, side=64)[:1])
  barred = smooth(42, side=64)
  barred[:, :8] = barred[:, :, -16:] = 0
  write_clip(folder / "bars.mp4", barred)
  write_clip(folder / "fast.mp4", smooth(43, side=64), fps=40)
  write_clip(folder / "small.mp4", smooth(44, side=48))
  _, found, error = check(folder, tmp_path / "out", max_bad_fraction=0.5)
  assert error is None
  said = {(f["key"], item["paths"][0]): item["says"] for f in found.values() for item in f["items"]}
  assert said[("unusable", "empty.mp4")] == "empty file"
  assert said[("unusable", "dir.mp4")].startswith("a folder without frames")
  assert said[("unusable", "gone.mp4")] == f"no such file: {folder}/gone.mp4"
  assert said[("unusable", "link.mp4")] == f"no such file: {folder}/nowhere.mp4 (a broken link)"
  assert ("black", "black.mp4") in said and ("one_value", "white.mp4") in said and ("still", "still.mp4") in said
  assert ("one_frame", "one.mp4") in said and ("short", "one.mp4") in said and ("small", "small.mp4") in said
  assert said[("borders", "bars.mp4")] == "12% top, 25% right"
  assert said[("odd_rate", "fast.mp4")].startswith("40")
  counts = {f["key"]: f["count"] for f in found.values()}
  assert counts == {"unusable": 4, "black": 1, "one_value": 1, "still": 1, "one_frame": 1, "borders": 1, "odd_rate": 1,
                    "small": 1, "short": 2, "odd_size": 1}
  assert set(before) < {p.name for p in folder.iterdir()} and (folder / "empty.mp4").exists()
  rows = list(csv.DictReader((tmp_path / "out/files.csv").read_text().splitlines()))
  assert len(rows) == 19 and {r["path"]: r["reason"] for r in rows}["empty.mp4"] == "empty file"


def test_too_many_bad_files_end_with_the_error_after_all_is_written(folder, tmp_path):
  add(folder, "empty.mp4")
  (folder / "empty.mp4").write_bytes(b"")
  result, found, error = check(folder, tmp_path / "out")
  assert "1 of 9 videos cannot be used" in error and str(tmp_path / "out/check.html") in error
  assert found["unusable"]["count"] == 1 and result["stops_a_run"] and "max_bad_fraction=0.12" in error
  for name in folder.glob("*.mp4"):
    name.unlink()  # as where the paths are those of another machine
  result, found, error = check(folder, tmp_path / "none")
  assert "9 of 9 videos cannot be used" in error and "max_bad_fraction=" not in error and (tmp_path / "none").is_dir()
  assert found["unusable"]["count"] == 9 and result["usable"] == 0 and (tmp_path / "none/check.html").is_file()


def test_damage_in_the_middle_is_found_by_full_only(tmp_path):
  """MJPEG: each frame by itself; neither the first nor those after the last key frame are hurt."""
  folder = tmp_path / "a"
  folder.mkdir()
  path = Path(write_clip(folder / "x.avi", smooth(1, count=400, side=64), fps=10, codec="mjpeg", pix_fmt="yuvj420p"))
  with av.open(str(path)) as container:
    packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
  data = bytearray(path.read_bytes())
  at, size = packets[201]
  data[at + 8:at + 8 + size] = bytes(size)
  path.write_bytes(data)
  from vft.check.looks import look
  reading = {"max_pixels": 64_000_000}
  assert look(str(path), "abc", full=False, reading=reading).reason == ""
  assert "damaged" in look(str(path), "abc", full=True, reading=reading).reason


def test_full_counts_every_frame(tmp_path):
  from vft.check.looks import look
  path = write_clip(tmp_path / "x.mp4", frames(37, step=5))
  assert look(path, "ab", full=True, reading={"max_pixels": 64_000_000}).frames == 37
  dicom = write_dicom(tmp_path / "x.dcm", frames(9))
  assert look(dicom, "ab", full=True, reading={"max_pixels": 64_000_000}).frames == 9


def test_a_leak_is_an_error_with_every_kind_listed(folder, tmp_path):
  shutil.copy(folder / "0.mp4", folder / "copy.mp4")
  add(folder, "copy.mp4", "normal", "p90", "test")
  write_clip(folder / "p1_again.mp4", smooth(50, side=64))
  add(folder, "p1_again.mp4", "weak", "p1", "test")
  write_clip(folder / "encoded.mp4", smooth(12, side=64), crf=35)
  add(folder, "encoded.mp4", "normal", "p91", "test")
  write_clip(folder / "same_patient.mp4", smooth(13, side=64), crf=35)
  add(folder, "same_patient.mp4", "weak", "p3", "train")
  shutil.copy(folder / "1.mp4", folder / "twice.mp4")
  add(folder, "twice.mp4", "normal", "p1", "train")
  _, found, error = check(folder, tmp_path / "out")
  assert "'0.mp4' in train = 'copy.mp4' in test" in error
  assert "'p1': 2 in train, 1 in test" in error  # its copy is a clip, too
  assert found["copies_across_splits"]["items"] == [{"paths": ["0.mp4", "copy.mp4"], "says": "in test, train"}]
  assert found["groups_in_two_splits"]["items"][0]["says"] == "p1: 2 clips in train, 1 clips in test"
  near = found["near_duplicates"]
  assert [i["paths"] for i in near["items"]] == [["2.mp4", "encoded.mp4"]] and near["level"] == "warning"
  assert found["copies_within_a_split"]["items"] == [{"paths": ["1.mp4", "twice.mp4"], "says": "in train"}]
  assert found["copies_with_other_labels"]["items"][0]["says"] == "normal; weak"


def test_two_copies_count_once_however_many_of_their_spans_have_other_labels(folder, tmp_path):
  shutil.copy(folder / "1.mp4", folder / "twice.mp4")
  rows = [(path, label, "p1", "train", start, start + 0.5) for path, labels in (("1.mp4", "ab"), ("twice.mp4", "ba"))
          for label, start in zip(labels, (0.0, 1.0), strict=True)]
  whole = [[*row.split(","), "0", "2"] for row in (folder / "list.csv").read_text().split() if "p1" not in row]
  with (folder / "list.csv").open("w", newline="") as file:
    csv.writer(file).writerows([(*whole[0][:4], "start_s", "end_s"), *whole[1:], *rows])
  _, found, _ = check(folder, tmp_path / "out")
  assert found["copies_with_other_labels"]["items"] == [{"paths": ["1.mp4", "twice.mp4"], "says": "a; b"}]


@pytest.mark.fault("F19", "video of train re-encoded in test", "warning that lists the pair")
def test_a_near_duplicate_alone_stops_nothing(folder, tmp_path):
  write_clip(folder / "encoded.mp4", smooth(12, side=64), crf=35)
  add(folder, "encoded.mp4", "normal", "p91", "test")
  _, found, error = check(folder, tmp_path / "out")
  assert error is None and found["near_duplicates"]["count"] == 1


@pytest.mark.fault("F18", "copy in train and test, data.on_duplicate=drop", "left out of train, kept in test, said")
def test_drop_keeps_the_copies_in_test(folder, tmp_path):
  shutil.copy(folder / "0.mp4", folder / "copy.mp4")
  add(folder, "copy.mp4", "normal", "p90", "test")
  config = make_config(folder, on_duplicate="drop", max_bad_fraction=0.0)
  made = manifest.make_manifest(config)
  assert made.table.status.tolist() == ["unused"] + ["ok"] * 8
  assert made.table.reason[0] == "copy of 'copy.mp4' in test" and "1 clips are left out" in " ".join(made.warnings)
  assert 0 not in made.rows("train") and 8 in made.rows("test")
  result, found, error = check(folder, tmp_path / "out", on_duplicate="drop")
  assert error is None and found == {} and "left out" in result["warnings"][-1]


@pytest.mark.fault("F28c", "file overwritten after the manifest", "exit 3: not the file of the manifest")
def test_other_bytes_than_those_of_a_manifest_are_an_error(folder, tmp_path):
  check(folder, tmp_path / "out")
  kept = shutil.copy(tmp_path / "out/manifest.csv", tmp_path / "kept.csv")
  assert check(folder, tmp_path / "out", against=Path(kept))[2] is None
  write_clip(folder / "3.mp4", smooth(60, side=64))
  assert "1 files are not those of" in check(folder, tmp_path / "out", against=Path(kept))[2]
  with pytest.raises(DataError, match="no manifest"):
    command.check(make_config(folder), tmp_path / "out", against=folder / "none.csv")


class Page(HTMLParser):
  def __init__(self, text):
    super().__init__()
    self.tags, self.links = set(), []
    self.feed(text)

  def handle_starttag(self, tag, attrs):
    self.tags.add(tag)
    self.links += [v for k, v in attrs if k in ("src", "href", "srcset", "action") or k.startswith("on")]


@pytest.mark.fault("F61", "<script> in labels, onerror in a file name", "escaped in check.html, which asks for nothing")
@pytest.mark.fault("F62", "ANSI codes in a file name", "not on the terminal")
def test_the_page_escapes_what_comes_from_the_data_and_asks_for_nothing(folder, tmp_path, capsys):
  evil = "<img src=x onerror=alert(1)>.mp4"
  escape = "\x1b[31mred.mp4"
  for name in (escape, evil):
    shutil.copy(folder / "0.mp4", folder / name)
    add(folder, name, "<script>bad</script>", "<b>p</b>", "test")
  _, found, _ = check(folder, tmp_path / "out")
  assert evil in found["copies_across_splits"]["items"][0]["paths"]
  text = (tmp_path / "out/check.html").read_text()
  page = Page(text)
  assert evil not in text and "&lt;img src=x onerror=alert(1)&gt;.mp4" in text and "&lt;script&gt;" in text
  assert not page.tags & {"script", "b0", "iframe", "object"}
  assert page.links.pop(0) == "data:,"  # the icon, which would be asked for
  assert page.links and all(link.startswith("data:image/jpeg;base64,") for link in page.links)
  assert not re.search(r"url\(|@import|https?:", text)
  assert "\x1b[31mred" not in capsys.readouterr().out


@pytest.mark.fault("F63", "`vft check` on DICOM with names and dates", "none in any output; patients are salted hashes")
@pytest.mark.fault("F64", "BurnedInAnnotation=YES in `vft check`", "counted as 'burned_in'")
@pytest.mark.fault("F65", "mp4 with title and place in `vft check`", "none in any output")
def test_nothing_of_a_header_or_a_container_is_in_any_output(tmp_path):
  study, out = tmp_path / "study", tmp_path / "out"
  for i in range(6):
    (study / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
    write_dicom(study / "ab"[i % 2] / f"{i}.dcm", smooth(i, side=64), patient=f"MRN-4711-0815-{i}",
                BurnedInAnnotation="YES")
  cut = study / "a/cut.dcm"
  cut.write_bytes((study / "a/0.dcm").read_bytes()[:3000])
  with av.open(str(study / "a/film.mp4"), "w") as film:
    film.metadata.update(title="DOE^JANE", location="+47.11-008.15/")
    stream = film.add_stream("libx264", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    for pixels in smooth(9, side=64):
      film.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    film.mux(stream.encode())
  assert b"DOE^JANE" in (study / "a/film.mp4").read_bytes()
  shutil.copy(ECHO, study / "b/echo.dcm")
  config = default.get_config()
  config.data.update(source=f"dicom:{study}", max_bad_fraction=0.3)
  log = io.StringIO()
  with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log), contextlib.suppress(DataError):
    command.check(config, out)
  (out / "log.txt").write_text(log.getvalue())
  secrets = (b"DOE", b"MRN-4711", b"4711-0815", b"19470811", b"47.11")
  places = [p for top in (out, Path.home()) for p in top.rglob("*") if p.is_file()]
  assert len(places) >= 7
  assert [p for p in places if any(s in p.read_bytes() for s in secrets)] == []
  result = json.loads((out / "check.json").read_text())
  found = {f["key"]: f for f in result["findings"]}
  assert found["burned_in"]["count"] == 6 and found["unusable"]["items"][0]["paths"] == ["a/cut.dcm"]
  assert result["grouped_by"] == "patient"


def test_the_command_takes_a_source_or_a_config_and_starts_without_jax(folder, tmp_path, tiny_csv):
  shutil.copy(folder / "0.mp4", folder / "copy.mp4")
  add(folder, "copy.mp4", "normal", "p90", "test")
  done = tiny.start_process("-X", "importtime", "-m", "vft.cli", "check", f"csv:{folder}/list.csv",
                            "--config.data.resize=64", "--config.data.size=56", cwd=tmp_path)
  out, error = done.communicate(timeout=60)
  assert done.returncode == 3 and "'0.mp4' in train = 'copy.mp4' in test" in error and "Traceback" not in error
  assert not re.search(r"\| +(jax|grain|tensorflow_datasets|sklearn)$", error, re.MULTILINE)
  assert (tmp_path / "runs/check/list/check.html").exists() and "stops a run" in out
  config = tiny.write_config_file(tmp_path / "mine.py", tiny_csv)
  assert run_here("check", str(config), f"--output={tmp_path / 'fine'}", "--config.eval.views=2") == 0
  assert run_here("check", str(config), "--config.data.reesize=64") == 2
  assert run_here("check", "cvs:x") == 2


def test_a_config_that_is_called_as_its_source_is_a_config(monkeypatch):
  seen = []
  monkeypatch.setattr(command, "check", lambda config, *_, **__: seen.append(config))
  assert run_here("check", "echonet_dynamic", "--config.data.source=echonet_dynamic:/data/echo") == 0
  assert seen[0].tasks.to_dict() == {"EF": {"kind": "regression"}}


def run_here(*args):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "argv", ["vft", *args])
    return cli.main()


def test_other_commands_still_refuse_what_they_do_not_know(capsys):
  with pytest.raises(SystemExit):
    run_here("predict", "runs/x", "a.mp4", "--nonsense")
  assert "unrecognized arguments: --nonsense" in capsys.readouterr().err
