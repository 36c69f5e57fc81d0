"""What a user sees: one clear message for a mistake, the exit code of DESIGN, and a run that goes on after a stop."""
import csv
import json
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

from tests import tiny
from vft import calibration, cli, main
from vft import workdir as workdirs


@pytest.fixture(autouse=True)
def old_handlers():
  """A run takes over SIGTERM and SIGINT; pytest wants them back."""
  before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
  yield
  for number, handler in before.items():
    signal.signal(number, handler)


@pytest.fixture
def vft(monkeypatch, capsys, tmp_path):
  """vft("train", ...) -> (exit code, stdout, stderr), in a folder of its own."""
  monkeypatch.chdir(tmp_path)

  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", *map(str, args)])
    code = cli.main()
    return (code, *capsys.readouterr())
  return call


def fails(result, code, *words):
  """One message on stderr, with every word, no traceback, the exit code."""
  got, _, err = result
  assert got == code, err
  assert err.count("vft: ") == 1 and err.startswith("vft: ") and "Traceback" not in err
  for word in words:
    assert word in err, err


def listed(tiny_csv, name, change):
  """The CSV file `name` beside the clips, with lines changed by change(rows) -> rows."""
  with tiny_csv.open(newline="") as file:
    head, *rows = csv.reader(file)
  with (tiny_csv.parent / name).open("w", newline="") as file:
    csv.writer(file).writerows([head, *change(rows)])
  return tiny_csv.parent / name


@pytest.fixture(scope="module")
def tiny_csv(tiny_csv, tmp_path_factory):
  """A folder of its own: tests here put broken files into it."""
  return Path(shutil.copytree(tiny_csv.parent, tmp_path_factory.mktemp("main") / "data")) / tiny_csv.name


@pytest.fixture(scope="module")
def config_file(tiny_csv):
  """Trains one epoch on 24 good files and a broken one, which is under max_bad_fraction."""
  (tiny_csv.parent / "broken.mp4").write_bytes(b"this is no video")
  clips = listed(tiny_csv, "one_broken.csv", lambda rows: [*rows, ("broken.mp4", "slow", "p12")])
  return tiny.write_config_file(tiny_csv.parent / "tiny.py", clips, data=dict(max_bad_fraction=0.05),
                                train=dict(epochs=1))


@pytest.fixture(scope="module")
def finished(config_file, tmp_path_factory):
  """The folder of a finished run of `config_file`."""
  folder = tmp_path_factory.mktemp("finished") / "run"
  assert main.main([f"--config={config_file}", f"--workdir={folder}"]) == 0
  return folder


@pytest.mark.fault("F31", "--config.groups.head.lr=nan", "exit 2: 'expected a finite number'")
@pytest.mark.parametrize(("flags", "words"), [
    (["--config=medical", "--config.train.bach=3"], ["config.train.bach is unknown; did you mean 'train.batch'?"]),
    (["--config=medical", "--config.train.batch=eight"], ["config.train.batch=eight", "invalid literal for int()"]),
    (["--config=medical", "--config.groups.head.lr=nan"], ["config.groups.head.lr is nan; expected a finite number"]),
    (["--config=medical", "--config.data.source=cvs:/x.csv"], ["'cvs:/x.csv'; did you mean 'csv'?"]),
    (["--config=medicl"], ["no config 'medicl'; did you mean 'medical'?", "medical_finetune"]),
    (["--config=medical", "--workdri=/x"], ["'workdri'", "workdir"]),
    (["--config=medical", "runs/here"], ["Unexpected: runs/here. Flags are written --name=value."]),
    ([], ["Expected one --config, found 0", "--config=configs/medical.py"]),
], ids=lambda v: " ".join(v) if v and v[0].startswith("--") else "")
def test_a_mistake_in_the_flags_exits_2_before_anything_is_made(vft, tmp_path, flags, words):
  fails(vft("train", *flags), 2, *words)
  assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("line", "words"), [
    ("c.data.num_frame = 8", ["mine.py: ", "num_frame", 'Did you mean "num_frames"', "default.py"]),
    ("c.model = dict(name='i3d')", ["missing: ['model.bn'", "c.model.update(name=...), never by c.model = dict(...)"]),
])
def test_a_mistake_in_a_config_file_exits_2_and_names_the_cure(vft, tmp_path, line, words):
  path = tiny.write_config_file(tmp_path / "mine.py", tmp_path / "clips.csv")
  path.write_text(path.read_text().replace("  return c", f"  {line}\n  return c"))
  fails(vft("train", "--config=mine.py"), 2, *words)


@pytest.mark.fault("F32b", "batch 6 on 4 devices", "exit 2: '--config.train.batch=4 or 8'")
def test_a_batch_that_the_devices_cannot_share_exits_2_with_two_that_they_can(vft, config_file):
  fails(vft("train", f"--config={config_file}", "--config.train.batch=6"), 2,
        "config.train.batch is 6, devices 4", "--config.train.batch=4 or 8")


def test_classes_other_than_the_config_counts_exit_2_with_their_names(vft, config_file):
  fails(vft("train", f"--config={config_file}", "--config.model.num_classes=3"), 2,
        "config.model.num_classes is 3, but the data has 2 classes: fast, slow", "Set it to 2")


@pytest.mark.fault("F24", "missing file in the list of a run", "exit 3 over max_bad_fraction, file named")
@pytest.mark.parametrize(("change", "words"), [
    (lambda rows: [*rows[:4], (rows[4][0], "", rows[4][2]), *rows[5:]], ["changed.csv, line 6: no label", "p2_0.mp4"]),
    (lambda rows: rows[:3], ["No clips in"]),
    (lambda rows: [*rows, ("../other.mp4", "slow", "p1")], ["changed.csv, line 26", "outside config.data.root"]),
    (lambda rows: [*rows, ("none.mp4", "slow", "p1"), ("no_video.mp4", "fast", "p0")],
     ["2 of 26 videos cannot be used (7.7%), more than data.max_bad_fraction, 1.0%", "'none.mp4': ", "'no_video.mp4': ",
      "--config.data.max_bad_fraction=0.09"]),
], ids=["no label", "too few", "outside", "undecodable"])
def test_data_that_cannot_be_used_exits_3_and_says_which(vft, tiny_csv, tmp_path, change, words):
  (tiny_csv.parent / "no_video.mp4").write_bytes(b"this is no video")
  path = tiny.write_config_file(tmp_path / "mine.py", listed(tiny_csv, "changed.csv", change))
  fails(vft("train", f"--config={path}"), 3, *words)
  again = vft("train", f"--config={path}", "--config.data.max_bad_fraction=0.001")  # nothing holds the first config
  fails(again, 3, *(word.replace("1.0%", "0.1%") for word in words))


def test_a_csv_file_that_is_not_there_exits_3(vft, tmp_path):
  path = tiny.write_config_file(tmp_path / "mine.py", tmp_path / "none.csv")
  fails(vft("train", f"--config={path}"), 3, "none.csv", "No such file", "path and label")


def test_a_patient_in_two_splits_exits_3_with_the_counts(vft, tiny_csv, tmp_path):
  splits = ["train"] * 15 + ["val"] * 5 + ["test"] * 4  # p7 has its second clip in val
  table = tmp_path / "split.csv"
  with tiny_csv.open(newline="") as file:
    head, *rows = csv.reader(file)
  with table.open("w", newline="") as file:
    csv.writer(file).writerows([[*head, "split"], *([*row, s] for row, s in zip(rows, splits, strict=True))])
  path = tiny.write_config_file(tmp_path / "mine.py", table, data=dict(root=str(tiny_csv.parent)))
  fails(vft("train", f"--config={path}"), 3, "1 patients (groups) stand in more than one split",
        "'p7': 1 in train, 1 in val")


def test_a_broken_file_below_the_limit_is_listed_and_the_run_goes_on(finished):
  with (finished / "skipped.csv").open(newline="") as file:
    (row,) = csv.DictReader(file)
  assert row["row"] == "24" and row["path"] == "broken.mp4" and row["reason"]
  result = json.loads((finished / "result.json").read_text())
  assert result["data"]["skipped"] == 1 and sum(result["data"]["clips"].values()) == 24


def test_the_same_command_on_a_finished_run_prints_its_table_and_trains_nothing(vft, config_file, finished):
  def state():
    files = (p for p in finished.rglob("*") if p.is_file() and p.name not in (".owner", "config.json"))
    return {p: p.stat().st_mtime_ns for p in files}
  before = state()
  code, out, err = vft("train", f"--config={config_file}", f"--workdir={finished}")
  assert code == 0 and "accuracy" in out and "one_broken.csv" in out and err == ""
  assert state() == before


@pytest.mark.fault("F39", "config changed on resume", "exit 2: 'train.epochs: 1 -> 3'; harmless ones pass")
def test_a_changed_config_on_a_run_exits_2_with_the_difference(vft, config_file, finished):
  fails(vft("train", f"--config={config_file}", f"--workdir={finished}", "--config.train.epochs=3",
            "--config.data.workers=2"), 2, "train.epochs: 1 -> 3\nGive another --workdir")


@pytest.mark.fault("F39h", "two runs in one folder", "exit 5: who holds it, since when")
def test_a_second_run_in_the_same_folder_is_told_who_is_there(vft, config_file, finished):
  with workdirs.locked(finished):
    fails(vft("train", f"--config={config_file}", f"--workdir={finished}"), 5, f"{finished} is in use by process ",
          "another --workdir")


def test_predict_labels_files_and_folders_and_lists_the_broken(vft, tiny_csv, finished, tmp_path):
  (tmp_path / "more/deep").mkdir(parents=True)
  shutil.copy(tiny_csv.parent / "p1_0.mp4", tmp_path / "more/deep/b.mp4")
  shutil.copy(tiny_csv.parent / "p2_0.mp4", tmp_path / "more/a.mp4")
  (tmp_path / "more/bad.mp4").write_bytes(b"this is no video")
  one = tiny_csv.parent / "p0_0.mp4"
  result = vft("predict", finished, one, "more", "--output=out.csv")
  fails(result, 3, "1 of 4 files could not be read; the others are done.", "more/bad.mp4: ")
  with Path("out.csv").open(newline="") as file:
    rows = list(csv.DictReader(file))
  assert list(rows[0]) == ["path", "start_s", "end_s", "predicted", "p_fast", "p_slow", "at_threshold",
                           "calibrated_fast", "calibrated_slow"]
  entry = json.loads((finished / "calibration.json").read_text())["label"]
  assert [r["path"] for r in rows] == [str(one), "more/a.mp4", "more/deep/b.mp4"]
  for row in rows:
    probs = {c: float(row[f"p_{c}"]) for c in tiny.CLASSES}
    assert row["predicted"] == max(probs, key=probs.__getitem__)
    assert sum(probs.values()) == pytest.approx(1, abs=2e-4)
    tempered = calibration.apply([[probs[c] for c in tiny.CLASSES]], entry)[0]
    assert [float(row[f"calibrated_{c}"]) for c in tiny.CLASSES] == pytest.approx(tempered, abs=2e-3)
    assert (row["at_threshold"] == "slow") == (float(row["calibrated_slow"]) >= entry["thresholds"][0])
    assert 0 <= float(row["start_s"]) < float(row["end_s"]) <= 1.25  # of 20 frames at 16 a second


def test_predict_on_broken_files_alone_lists_them_too(vft, finished, tmp_path):
  (tmp_path / "bad.mp4").write_bytes(b"this is no video")
  fails(vft("predict", finished, "bad.mp4"), 3, "1 of 1 files could not be read", "bad.mp4: ")


def test_predict_agrees_with_the_predictions_of_the_run(vft, tiny_csv, finished):
  with (finished / "predictions_test.csv").open(newline="") as file:
    want = list(csv.DictReader(file))
  code, out, err = vft("predict", finished, *(tiny_csv.parent / row["path"] for row in want))
  assert (code, err) == (0, "")
  for row, same in zip(csv.DictReader(out.splitlines()), want, strict=True):
    assert row["predicted"] == same["predicted"]
    assert float(row["p_slow"]) == pytest.approx(float(same["p_slow"]), abs=1e-3)


@pytest.mark.parametrize(("args", "code", "word"), [
    (["nowhere", "clip.mp4"], 3, "no file or folder 'clip.mp4'"),
    (["nowhere", "."], 2, "nowhere is not the folder of a run"),
])
def test_predict_without_a_video_or_a_run_says_so(vft, tmp_path, args, code, word):
  (tmp_path / "a.mp4").write_bytes(b"")
  fails(vft("predict", *args), code, word)


def test_vft_finds_its_configs_from_an_empty_folder(tmp_path):
  process = tiny.start_process("-m", "vft.cli", "train", "--config=medical", "--config.train.batch=0", cwd=tmp_path)
  _, err = process.communicate(timeout=120)
  fails((process.returncode, "", err), 2, "config.train.batch is 0; expected a number above 0")
  assert list(tmp_path.iterdir()) == []


def train_steps(workdir):
  path = workdir / "metrics.jsonl"
  lines = path.read_text().splitlines(keepends=True) if path.is_file() else []
  return [r["step"] for r in map(json.loads, (x for x in lines if x.endswith("\n"))) if r["split"] == "train"]


@pytest.mark.fault("F44", "SIGTERM in mid-training", "saved, exit 143; the same command goes on")
def test_sigterm_saves_and_exits_143_and_the_same_command_goes_on(vft, config_file, tmp_path):
  workdir = tmp_path / "run"
  flags = [f"--config={config_file}", f"--workdir={workdir}", "--config.train.epochs=100",
           "--config.train.eval_every=100"]
  process = tiny.start_process("-m", "vft.main", *flags, cwd=tmp_path)
  deadline = time.monotonic() + 300
  while len(train_steps(workdir)) < 3 and process.poll() is None and time.monotonic() < deadline:
    time.sleep(0.02)
  process.terminate()
  _, err = process.communicate(timeout=120)
  assert process.returncode == 143 and "Traceback" not in err, err
  assert "vft: stopped by SIGTERM; saved. The same command goes on from here." in err
  (saved,) = [int(p.name) for p in (workdir / "checkpoints").iterdir() if p.name.isdigit()]
  done = train_steps(workdir)
  assert done == list(range(1, saved + 1)) and saved < 200 and not (workdir / "result.json").exists()
  first = (workdir / "metrics.jsonl").read_bytes()

  code, out, _ = vft("train", *flags)
  assert code == 0 and "accuracy" in out
  assert train_steps(workdir) == list(range(1, 201))
  assert (workdir / "metrics.jsonl").read_bytes().startswith(first)  # no step was done twice
