"""Traps of single layouts: names, folds, class numbers, unused rows, lists that are not as expected."""
import shutil

import pytest

from configs import default
from tests import layouts
from vft.data import manifest, sources
from vft.errors import ConfigError, DataError

MODULES = layouts.modules()


def open_rows(kind, folder, columns=("label",), **options):
  return open_source(kind, folder, columns, **options).rows()


def open_source(kind, folder, columns=("label",), **options):
  config = default.get_config()
  config.data.options = options
  return sources.open_source(f"{kind}:{folder}", config.data, columns)


def edit(file, old, new):
  text = file.read_text()
  assert old in text
  file.write_text(text.replace(old, new, 1))


def stops(message, kind, folder, columns=("label",), **options):
  with pytest.raises(DataError, match=message):
    open_rows(kind, folder, columns, **options)


def test_echonet_names_get_avi_where_they_have_no_suffix_and_a_listed_file_that_is_gone_is_skipped(tmp_path):
  MODULES["echonet_dynamic"].make(tmp_path)
  gone = next((tmp_path / "Videos").iterdir())
  gone.unlink()
  config = default.get_config()
  config.data.update(source=f"echonet_dynamic:{tmp_path}", max_bad_fraction=0.1)
  config.tasks = dict(EF=dict(kind="regression"))
  table = manifest.make_manifest(config).table.set_index("path")
  assert len(table) == 12 and table.index.str.endswith(".avi").all() and not table.index.str.endswith(".avi.avi").any()
  assert table.status.tolist().count("ok") == 11
  assert table.reason[f"Videos/{gone.name}"].startswith("no such file")


def test_echonet_faults_name_the_file_and_what_was_expected(tmp_path):
  stops(r"FileList.csv: No such file(.|\n)*Expected FileList.csv of EchoNet-Dynamic", "echonet_dynamic", tmp_path)
  (tmp_path / "FileList.csv").write_text("FileName,EF\n")
  stops(r"FileList.csv, line 1: no column 'Split'", "echonet_dynamic", tmp_path)
  (tmp_path / "FileList.csv").write_text("FileName,EF,Split\n")
  stops("no line but the first", "echonet_dynamic", tmp_path)
  (tmp_path / "FileList.csv").write_text("FileName,EF,Split\na,55,TRAIN\nb,55,TRIAL\n")
  stops(r"FileList.csv, line 3: 'b,55,TRIAL'(.|\n)*TRAIN, VAL or TEST", "echonet_dynamic", tmp_path)


@pytest.mark.parametrize("fold, val", [(0, 1), (9, 0)])
def test_the_fold_after_the_tested_one_validates(fold, val, trees):
  rows = open_rows("echonet_pediatric", trees("echonet_pediatric"), ("EF",), fold=fold).set_index("Split")
  assert rows.split[str(fold)] == "test" and rows.split[str(val)] == "val" and (rows.split == "train").sum() == 8


def test_both_views_of_a_child_are_one_group(trees):
  rows = open_rows("echonet_pediatric", trees("echonet_pediatric"), ("EF",), view="both")
  assert len(rows) == 20 and rows.groupby("group")["view"].apply(set).tolist() == [{"A4C", "PSAX"}] * 10
  assert rows.groupby("group")["split"].nunique().max() == 1
  with pytest.raises(ConfigError, match=r"options.view is 'A2C'; EchonetPediatric has 'A4C', 'PSAX', 'both'"):
    open_source("echonet_pediatric", "/x", view="A2C")


def test_a_fold_that_is_none_is_named(tmp_path):
  (tmp_path / "pediatric_echo_avi" / "A4C").mkdir(parents=True)
  (tmp_path / "pediatric_echo_avi" / "A4C" / "FileList.csv").write_text("FileName,EF,Split\na-b-1.avi,55,10\n")
  stops(r"FileList.csv, line 2: 'a-b-1.avi,55,10'(.|\n)*a fold from 0 to 9", "echonet_pediatric", tmp_path)


def test_camus_takes_the_rate_of_its_info_file_and_the_split_of_the_fold(tmp_path):
  MODULES["camus"].make(tmp_path)
  source = open_source("camus", tmp_path, ("EF",), view="4CH")
  rows = source.rows()
  assert rows.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2 and (rows["view"] == "4CH").all()
  assert source.read(rows.path[0]).fps == 47.6
  stops(r"subGroup3_training.txt: No such file", "camus", tmp_path, ("EF",), fold=3)
  (tmp_path / "listSubGroups").mkdir()
  for name, numbers in (("training", range(3, 9)), ("validation", [2]), ("testing", [1])):
    (tmp_path / f"listSubGroups/subGroup3_{name}.txt").write_text("\n".join(f"patient{i:04}" for i in numbers))
  assert open_rows("camus", tmp_path, ("EF",), view="2CH", fold=3).split.tolist() == ["test", "val"] + ["train"] * 6
  (tmp_path / "listSubGroups/subGroup3_testing.txt").write_text("patient0002\n")
  stops(r"subGroup3_testing.txt, line 1(.|\n)*in val already", "camus", tmp_path, ("EF",), fold=3)
  for file in (tmp_path / "database_split").iterdir():
    file.unlink()
  assert set(open_rows("camus", tmp_path, ("EF",)).split) == {""}
  (tmp_path / "database_nifti/patient0002/Info_4CH.cfg").unlink()
  stops("Info_4CH.cfg: No such file", "camus", tmp_path, ("EF",))
  stops("no folders patient", "camus", tmp_path / "database_split", ("EF",))


def test_pocus_classes_and_patients_come_from_names(trees):
  rows = open_rows("pocus", trees("pocus")).set_index("id")
  assert rows.group["pocus_videos/convex/Cov_new_pregnant_vid1.avi"] == "50"  # "-" in the table
  assert rows.group["pocus_videos/convex/Reg_clinicalreview_mov1.mp4"] == ""  # nan in the table
  assert rows.label["pocus_videos/convex/reg-NormalLung.mp4"] == "regular"
  both = open_rows("pocus", trees("pocus"), probe="both")
  assert len(both) == 11 and set(both.label) == {"covid", "regular", "viral"}


def test_pocus_names_a_video_without_a_class(tmp_path):
  stops("There is no folder", "pocus", tmp_path)
  (tmp_path / "pocus_videos/convex").mkdir(parents=True)
  stops("no videos of the probe 'convex'", "pocus", tmp_path)
  (tmp_path / "pocus_videos/convex/dknow-C.mp4").touch()
  stops("dknow-C.mp4: its name says no class", "pocus", tmp_path)


def test_class_numbers_are_those_of_the_files_not_of_the_alphabet(trees):
  assert open_source("ucf101", trees("ucf101")).classes == ("YoYo", "ApplyEyeMakeup")
  assert open_source("kinetics_list", trees("kinetics_list")).classes == ("zumba", "abseiling")
  ssv2 = open_source("something_something", trees("something_something"))
  assert ssv2.classes == ("Putting something on something", "Closing something")
  assert ssv2.rows().label[1] == "Closing something"


def test_a_list_of_ucf101_that_names_no_class_or_is_not_there(tmp_path):
  MODULES["ucf101"].make(tmp_path)
  rows = open_rows("ucf101", tmp_path)
  assert rows.group[rows.split == "test"].tolist() == ["YoYo_g01"] * 2 + ["ApplyEyeMakeup_g01"] * 2
  stops("trainlist02.txt: No such file", "ucf101", tmp_path, split=2)
  edit(tmp_path / "ucfTrainTestlist/testlist01.txt", "YoYo/", "Yoyo/")
  stops(r"testlist01.txt, line 1: 'Yoyo' is no class of classInd.txt; did you mean 'YoYo'", "ucf101", tmp_path)


def test_videos_marked_0_are_not_used_by_a_split_of_hmdb51(tmp_path):
  MODULES["hmdb51"].make(tmp_path)
  rows = open_rows("hmdb51", tmp_path)
  assert not rows.path.str.contains("goo_6").any() and len(rows) == 12
  stops(r"no lists \*_test_split3.txt", "hmdb51", tmp_path, split=3)
  edit(tmp_path / "testTrainMulti_7030_splits/wave_test_split1.txt", "goo_1.avi 1", "goo_1.avi 3")
  stops("wave_test_split1.txt, line 2", "hmdb51", tmp_path)


def test_lists_of_paths_may_have_commas_and_names_and_numbers_without_a_file_of_names(tmp_path):
  (tmp_path / "kinetics400_train_list_videos.txt").write_text("x/1.mp4,riding a bike\nx/2.mp4,yoga\n")
  (tmp_path / "test_list.txt").write_text("x/3.mp4 yoga\n")
  source = open_source("kinetics_list", tmp_path)
  rows = source.rows()
  assert rows.label.tolist() == ["riding a bike", "yoga", "yoga"] and source.classes == ()
  assert rows.split.tolist() == ["train", "train", "test"] and rows.path[0] == "x/1.mp4"
  (tmp_path / "classInd.txt").write_text("1 yoga\n2 riding a bike\n")
  assert open_source("kinetics_list", tmp_path).classes == ("yoga", "riding a bike")
  (tmp_path / "test_list.txt").write_text("x/3.mp4 1\nx/4.mp4 7\n")
  stops("test_list.txt, line 2: '7' is no class of the file of names", "kinetics_list", tmp_path)
  (tmp_path / "test.csv").write_text("x/3.mp4 1\n")
  stops("test.csv and .*test_list.txt are both lists of test", "kinetics_list", tmp_path)


def test_kinetics_own_lists_find_their_files_below_split_or_class(tmp_path):
  for path in ("train/yoga/-0a_000012_000022.mp4", "val/Q_1_000001_000011.mp4"):
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).touch()
  first = "label,youtube_id,time_start,time_end,split,is_cc\n"
  (tmp_path / "train.csv").write_text(first + "yoga,-0a,12,22,train,0\n\"hugging, kissing\",gone,0,10,train,0\n")
  (tmp_path / "val.csv").write_text(first + "yoga,Q_1,1,11,validate,0\n")
  (tmp_path / "test.csv").write_text("youtube_id,time_start,time_end,split\nabc,1,11,test\n")
  rows = open_rows("kinetics_list", tmp_path)
  assert rows.path.tolist() == ["train/yoga/-0a_000012_000022.mp4", "train/gone_000000_000010.mp4",
                                "val/Q_1_000001_000011.mp4"]
  assert rows.label.tolist() == ["yoga", "hugging, kissing", "yoga"]
  assert rows.split.tolist() == ["train", "train", "test"]  # no labels of test: val is tested on
  (tmp_path / "val.csv").rename(tmp_path / "validate.csv")  # as it is published
  assert open_rows("kinetics_list", tmp_path).equals(
      rows.assign(where=rows["where"].str.replace("val.csv", "validate.csv")))
  (tmp_path / "validate.csv").rename(tmp_path / "val.csv")
  (tmp_path / "val.csv").write_text(first + "yoga,Q_1,one,11,validate,0\n")
  stops("val.csv, line 2(.|\n)*times in seconds", "kinetics_list", tmp_path)


def test_a_template_that_is_no_class_is_named(trees, tmp_path):
  for file in trees("something_something").glob("*.json"):
    shutil.copy(file, tmp_path)
  edit(tmp_path / "something-something-v2-validation.json", "Closing [something]", "Closing [somthing]")
  stops(r"validation.json, entry 2: 'Closing somthing' is no class(.|\n)*did you mean", "something_something", tmp_path)
  (tmp_path / "something-something-v2-train.json").unlink()
  stops(r"0 files \*train.json", "something_something", tmp_path)


def test_tfds_features_are_found_or_listed(trees):
  folder = trees("tfds_folder")
  version = f"{folder}/beats/1.0.0"
  source = open_source("tfds", version, ("speed",), group="who")  # the one feature of bytes is the video
  assert source.classes == ("slow", "fast") and dict(source.roles) == {"video": "mp4", "group": "who", "id": ""}
  assert source.rows().id[0] == "beats/1.0.0/train/0" and source.CHECKED
  config = default.get_config()
  config.data.tfds_dir = str(folder)
  assert len(sources.open_source("tfds:beats", config.data, ("rate",)).rows()) == 12
  with pytest.raises(ConfigError, match=r"which is not built in (.|\n)*dataset_info.json"):
    sources.open_source("tfds:beets", config.data)
  with pytest.raises(ConfigError, match=r"options.group is 'whom'(.|\n)*did you mean 'who'(.|\n)*  view: Text"):
    open_source("tfds", version, group="whom")
  with pytest.raises(DataError, match=r"not clear which feature holds(.|\n)*  curve: Tensor(.|\n)*options.video=NAME"):
    open_source("tfds", version, video="speed")
  with pytest.raises(DataError, match="is no built TFDS data set"):
    open_source("tfds", folder)


def test_tfds_in_other_files_or_of_several_configs_is_named_and_a_single_split_is_not_official(tmp_path, monkeypatch):
  monkeypatch.setattr(MODULES["tfds_folder"], "SIZES", {"train": 2})
  MODULES["tfds_folder"].make(tmp_path)
  version = tmp_path / "beats/1.0.0"
  assert set(open_rows("tfds", version, ("speed",)).split) == {""}
  for config in ("a", "b"):
    (tmp_path / f"sets/{config}/1.0.0").mkdir(parents=True)
    (tmp_path / f"sets/{config}/1.0.0/dataset_info.json").touch()
  config = default.get_config()
  config.data.tfds_dir = str(tmp_path)
  with pytest.raises(ConfigError, match=r"has several configs(.|\n)*tfds:sets/a"):
    sources.open_source("tfds:sets", config.data)
  shutil.copytree(version, tmp_path / "other/1.0.0")
  edit(tmp_path / "other/1.0.0/dataset_info.json", "array_record", "tfrecord")
  with pytest.raises(DataError, match=r"is in tfrecord files; expected array_record\.(.|\n)*tfds convert_format"):
    open_source("tfds", tmp_path / "other/1.0.0")
