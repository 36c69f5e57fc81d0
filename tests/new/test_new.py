"""`vft new`: real files, looked at; what is written is loaded and trains."""
import dataclasses
import sys

import numpy as np
import pandas as pd
import pytest

from configs import presets
from tests import tiny
from tests.clips import write_clip
from vft import cli, run
from vft import config as configs
from vft.new import choices, command
from vft.new.seen import Seen, kind_of

CINE = Seen("single", "label", {"train": 120, "val": 30, "test": 50}, 200, 100, "patient", False,
            {"abnormal": 60, "normal": 60}, 1.8, 2.4, 3.0, 25.0, 480, (640, 480), True, 0.9, 0.0, 0)


def lines(**changes) -> dict[str, str]:
  """{code: why} of what is chosen for CINE with changes."""
  words = changes.pop("words", "cine")
  chosen = choices.choose(dataclasses.replace(CINE, **changes), "csv:/a.csv", "", words)
  return {line.code: line.why for section in chosen for line in section}


@pytest.fixture
def new(monkeypatch, capsys, tmp_path):
  """new("discs", "--source=...") -> (exit code, stdout, stderr), in a folder of its own."""
  monkeypatch.chdir(tmp_path)

  def call(*args):
    monkeypatch.setattr(sys, "argv", ["vft", "new", *map(str, args)])
    return cli.main(), *capsys.readouterr()
  return call


def test_what_it_writes_is_a_config_that_trains(new, tiny_csv, tmp_path):
  code, out, err = new("discs", f"--source=csv:{tiny_csv}", "--config.data.resize=64", "--config.data.size=56")
  assert code == 0, err
  path = tmp_path / "configs/discs.py"
  assert path.read_text() in out and "vft train --config=configs/discs.py" in out
  config = configs.load(str(path))
  assert config.data.source == f"csv:{tiny_csv}" and config.data.resize == 64
  assert config.data.classes == ("fast", "slow") and config.data.fps == pytest.approx(12.8)  # 16 frames of 1.25 s
  assert config.train.batch == 8  # of 16 clips
  config.data.update(num_frames=8, fps=8.0, workers=0)
  config.model.update(name="videomae", variant="tiny")
  config.init.update(weights="", keep_init=(), stats_clips=4)
  config.train.epochs = 1
  config.eval.bootstrap = 20
  config.controls = ()
  config.features.dir = str(tmp_path / "features")
  config.report.write = False
  config.log.update(tensorboard=False, progress=False)
  assert run.run(config, tmp_path / "run")["cost"]["steps"] == 2


def test_it_overwrites_nothing_and_refuses_names_that_are_taken(new, tiny_csv, tmp_path):
  (tmp_path / "mine.py").write_text("x = 1\n")
  source = f"--source=csv:{tiny_csv}"
  for args, word in ((("a", source, "--output=mine.py"), "overwrites nothing"), (("medical", source), "another one"),
                     (("A b", source), "small letters"), (("mine", "--source=camus:/x"), "vft train --config=camus"),
                     (("mine", source, "--config.data.fsp=3"), "config.data.fsp is unknown; did you mean"),
                     (("mine", source, "--config.data.resize=64"), "config.data.size is 112, larger than")):
    code, _, err = new(*args)
    assert code == 2 and word in err, err
  code, _, err = new("mine", source, "--label=lable")
  assert code == 3 and "did you mean 'label'" in err
  assert (tmp_path / "mine.py").read_text() == "x = 1\n" and not (tmp_path / "configs").exists()


def test_a_column_of_numbers_is_a_regression_and_official_splits_stay(new, tiny_csv, tmp_path):
  table = pd.read_csv(tiny_csv)
  table["EF"] = np.linspace(20, 70, len(table)).round(1)
  table["split"] = ["train"] * 16 + ["val"] * 4 + ["test"] * 4
  table.to_csv(tiny_csv.parent / "ef.csv", index=False)
  code, _, err = new("ef", f"--source=csv:{tiny_csv.parent}/ef.csv", "--label=EF", "--preset=endoscopy")
  assert code == 0, err
  config = configs.load(str(tmp_path / "configs/ef.py"))
  assert config.tasks.to_dict() == {"EF": {"kind": "regression"}} and config.augment.rotate == 180
  assert "20 to 70, median 45" in (tmp_path / "configs/ef.py").read_text()
  assert "the splits that the source brings" in (tmp_path / "configs/ef.py").read_text()


def test_names_from_the_data_do_not_become_code(new, tmp_path):
  rng, rows = np.random.default_rng(0), ["path,label"]
  for i in range(12):
    write_clip(tmp_path / f"{i}.mp4", tiny.disc(0.5, rng), fps=16)
    rows.append(f'{i}.mp4,"{("a", chr(10).join(("b", "raise SystemExit(7)")))[i % 2]}"')
  (tmp_path / 'say """ \\.csv').write_text("\n".join(rows) + "\n")
  code, _, err = new("hostile", f'--source=csv:{tmp_path}/say """ \\.csv', "--output", 'out """.py')
  assert code == 0, err
  assert configs.load(str(tmp_path / 'out """.py')).data.classes == ("a", "b\nraise SystemExit(7)")


def test_the_clip_fits_the_videos():
  assert "c.data.fps = 12.5" in lines()  # 1.28 s of 1.8
  assert "c.eval.views = 3" not in lines() and "c.eval.views = 3" in lines(length_s=4.0)
  assert "c.data.fps = 20.0" in lines(shortest_s=0.8)
  assert "repeat their last frame" in lines(shortest_s=0.4)["c.data.fps = 25.0"]  # no rate above that of the videos
  assert 'c.data.sampling = "uniform"' in lines(length_s=45.0)
  assert 'c.model.update(name="efficientnet_lite", variant="lite0")' in lines(stills=0.8)


def test_uneven_classes_are_weighted_and_of_two_the_abnormal_one_is_positive():
  assert 'c.loss.class_weights = "none"' in lines()
  assert "10 rare" in lines(classes={"common": 90, "rare": 10})['c.loss.class_weights = "inverse"']
  assert 'c.data.classes = ("normal", "abnormal")' in lines()


def test_the_kind_of_video_is_told_by_names_or_by_looks():
  assert "c.augment.update(presets.SURGERY)" in lines(words="cholecystectomy", grey=False)
  assert "c.augment.update(presets.ULTRASOUND)" in lines(words="x") and 'c.data.crop = "sector"' in lines(words="x")
  assert "c.augment.enabled = False" in lines(words="x", grey=False)
  assert "c.augment.update(enabled=False, copies=4)" in lines(words="echo")  # a head alone got worse by it
  assert set(choices.PRESETS) == set(presets.PRESETS)


def test_unknown_patients_and_few_of_them_are_said():
  assert any("No patients are known" in why for why in lines(grouped_by="video").values())
  assert "tests all 30 patients" in lines(groups=30)["c.data.folds = 0"] and "c.data.folds = 0" not in lines()


@pytest.mark.parametrize(("train", "batch"), [(1, 1), (3, 1), (5, 2), (16, 8), (63, 16), (64, 32), (9999, 32)])
def test_a_batch_fits_the_training_clips(train, batch):
  assert any(code.startswith(f"c.train.update(batch={batch},") for code in lines(clips={"train": train}))


@pytest.mark.parametrize(("cells", "kind"), [
    (("a", "b", ""), "single"), (("a|b", "-"), "multi"), (("0", "1", "1"), "single"), (("0.5", "1"), "regression"),
    (tuple(map(str, range(11))), "regression"), (("1", "x"), "single")])
def test_a_column_tells_what_kind_of_task_it_is(cells, kind):
  assert kind_of(pd.Series(cells)) == kind


def test_every_combination_of_choices_is_python(tmp_path):
  for changes in (dict(), dict(kind="multi", column="findings", classes={"polyp": 9}), dict(official=True, burned_in=3),
                  dict(kind="regression", column="a b", classes={}), dict(grey=False, stills=1.0)):
    data = dataclasses.replace(CINE, **changes)
    text = command.render("x", tmp_path / "x.py", data, choices.choose(data, "csv:/a.csv", "/data", "x"), [])
    (tmp_path / "x.py").write_text(text)
    configs.check(configs.load(str(tmp_path / "x.py")))
    assert max(map(len, text.splitlines())) <= command.WIDTH


def test_a_task_is_called_as_its_column_unless_the_manifest_has_one_of_that_name():
  assert [choices.name_of(c) for c in ("EF", "EF (%)", "status", "group")] == ["EF", "label", "label", "label"]
