import pickle
import sys
import types
import unicodedata

import pytest

from configs import default
from tests.clips import write_clip
from vft.data import sources
from vft.errors import ConfigError, DataError


def open_csv(tmp_path, text, columns=("label",), **data):
  (tmp_path / "list.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
  return open_any(f"csv:{tmp_path}/list.csv", columns, **data)


def open_any(spec, columns=("label",), **data):
  config = default.get_config()
  config.data.update(data)
  return sources.open_source(spec, config.data, columns)


def stops(tmp_path, text, message, **more):
  with pytest.raises(DataError, match=message):
    open_csv(tmp_path, text, **more).rows()


def test_csv_fills_in_what_is_not_there(tmp_path):
  source = open_csv(tmp_path, "path,label\na.mp4,x\nsub/b.mp4,w\n")
  rows = source.rows()
  assert tuple(rows.columns) == (*sources.COLUMNS, "label", "where")
  assert rows["where"].tolist() == [f"{tmp_path}/list.csv, line 2", f"{tmp_path}/list.csv, line 3"]
  assert rows.id.tolist() == rows.video.tolist() == ["a.mp4", "sub/b.mp4"]
  assert (rows.group == "").all() and (rows.split == "").all() and rows.end_s.isna().all()
  assert source.classes == () and not source.simulated
  assert source.read("sub/b.mp4") == f"{tmp_path}/sub/b.mp4"


@pytest.mark.fault("F27", "CSV with BOM, CRLF and blank lines", "read")
def test_csv_reads_all_columns_with_bom_and_crlf(tmp_path):
  text = "\ufeffid,path,label,patient,split,start_s,end_s\r\n"
  text += "1,a.mp4,x,anna,valid,,2.5\r\n\r\n2,a.mp4,y,anna,valid,2.5,\r\n"
  rows = open_csv(tmp_path, text).rows()
  assert rows.id.tolist() == ["1", "2"] and rows.group.tolist() == ["anna", "anna"]
  assert rows.split.tolist() == ["val", "val"] and rows.start_s.tolist() == [0.0, 2.5] and rows.end_s[0] == 2.5
  assert open_csv(tmp_path, "path,label\na,x,,\nb,y,,\n").rows().label.tolist() == ["x", "y"]  # empty ones at the end


def test_letters_of_other_bytes_are_the_same_patient_class_and_file(tmp_path):
  one, other = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
  (tmp_path / f"{other}.mp4").touch()
  source = open_csv(tmp_path, f"path,label,patient\n{one}.mp4,{one},{one}\nb.mp4,{other},{other}\n")
  rows = source.rows()
  assert rows.group.tolist() == rows.label.tolist() == [one, one]
  assert source.read(f"{one}.mp4") == f"{tmp_path}/{other}.mp4"
  (tmp_path / "in" / other).mkdir(parents=True)
  (tmp_path / "in" / other / "a.mp4").touch()
  rows = open_any(f"folder:{tmp_path}/in").rows()
  assert rows.label.tolist() == [one] and rows.path.tolist() == [f"{other}/a.mp4"]


def test_spans_of_one_video_get_ids_of_their_own(tmp_path):
  rows = open_csv(tmp_path, "path,label,start_s,end_s\na.mp4,x,0,1\na.mp4,x,1,2\n").rows()
  assert rows.id.tolist() == ["a.mp4@0.0", "a.mp4@1.0"] and rows.video.nunique() == 1


@pytest.mark.fault("F27", "CSV: no column, two ids, NaN label, not UTF-8", "exit 3 with the line")
@pytest.mark.fault("F28", "'../../etc/passwd' and '/etc/passwd' in a CSV", "exit 3: outside config.data.root")
@pytest.mark.parametrize("text, message", [
    ("path,lable\na,x\n", "line 1: no column 'label'; did you mean 'lable'"),
    ("path,label\na,x\n,y\n", "line 3: no path"),
    ("path,label\na,x\nb,nan\n", "line 3: no label"),
    ("path,label\n\na,x\nb,\n", "line 4: no label"),
    ("path,label,split\na,x,tset\n", "line 2: split 'tset' is unknown; did you mean 'test'"),
    ("path,label,start_s\na,x,1s\n", "line 2: start_s is no number"),
    ("path,label,start_s,end_s\na,x,2,1\n", "line 2: an impossible span"),
    ("id,path,label\n1,a,x\n1,b,x\n", "line 3: an id that stands in the file before"),
    ("path,label\na,x\na,y\n", "line 3: a span that stands in the file before"),
    ("path,label,Label\na,x,y\n", "line 1: the column 'label' stands there 2 times"),
    ("path,label,patient,patient\na,x,y,z\n", "line 1: the column 'patient' stands there 2 times"),
    ("path,label\n", "no line but the first"),
    ("path,label,patient\na,x,1\nb,c.mp4,y,2\n", "line 3: 4 cells, but line 1 has 3"),
    ("path,label,patient\na,big, round,1\n", "line 2: 4 cells, but line 1 has 3"),
    ("path;label\r\na;x\r\n", "line 1: no column 'path'.*\nIts cells are parted by ';'"),
    ("path;label;mm\r\na;x;1,5\r\n", "line 2: 2 cells.*\nIts cells are parted by ';'"),
    ("", "No columns"),
    (b"path,label\na,x\nb,\xff\n", "line 3: not UTF-8"),
    ("path,label\n../../etc/passwd,x\n", "line 2: '../../etc/passwd' is outside config.data.root"),
    ("path,label\n/etc/passwd,x\n", "line 2: '/etc/passwd' is outside config.data.root"),
])
def test_csv_names_the_line_of_a_mistake(tmp_path, text, message):
  stops(tmp_path, text, message)


def test_csv_with_columns_of_several_tasks_may_leave_cells_empty(tmp_path):
  rows = open_csv(tmp_path, "path,EF,view\na,55.5,\nb,,A4C\n", columns=("EF", "view")).rows()
  assert rows.EF.tolist() == ["55.5", ""] and rows["view"].tolist() == ["", "A4C"]
  stops(tmp_path, "path,view\na,A4C\n", "line 1: no column 'EF'", columns=("EF", "view"))
  rows = open_csv(tmp_path, "path,EF,view,patient\na,nan,A4C,nan\nb,1,NaN,007\n", columns=("EF", "view")).rows()
  assert rows["view"].tolist() == ["A4C", ""] and rows.EF.tolist() == ["", "1"] and rows.group.tolist() == ["", "007"]


def test_csv_that_is_not_there(tmp_path):
  with pytest.raises(DataError, match="No such file"):
    open_any(f"csv:{tmp_path}/none.csv").rows()


@pytest.mark.fault("F28", "link out of the root", "exit 3 unless data.follow_links")
def test_a_link_out_of_the_root_is_followed_on_request_only(tmp_path):
  root = tmp_path / "root"
  root.mkdir()
  (tmp_path / "a.mp4").touch()
  (root / "a.mp4").symlink_to(tmp_path / "a.mp4")
  stops(root, "path,label\na.mp4,x\n", "'a.mp4' is a link to")
  assert len(open_csv(root, "path,label\na.mp4,x\n", follow_links=True).rows()) == 1
  assert len(open_csv(root, f"path,label\n{root}/a.mp4,x\n", root=str(tmp_path)).rows()) == 1


def test_folders_are_classes_and_hidden_files_are_left_out(tmp_path):
  for name in ("b/2.mp4", "b/.hidden.mp4", "b/deep/3.mp4", "a/1", "a/notes.txt", ".git/x.mp4", "readme.md"):
    (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
    (tmp_path / name).touch()
  source = open_any(f"folder:{tmp_path}")
  rows = source.rows()
  assert rows.path.tolist() == ["a/1", "b/2.mp4", "b/deep/3.mp4"] and rows.label.tolist() == ["a", "b", "b"]
  assert source.classes == () and (rows.split == "").all()
  assert source.read("a/1") == f"{tmp_path}/a/1"


def test_folders_named_as_splits_are_official(tmp_path):
  for name in ("train/a/1.mp4", "validation/a/2.mp4", "test/b/3.mp4"):
    (tmp_path / name).parent.mkdir(parents=True)
    (tmp_path / name).touch()
  rows = open_any(f"folder:{tmp_path}").rows()
  assert dict(zip(rows.path, rows.split, strict=True)) == {
      "train/a/1.mp4": "train", "validation/a/2.mp4": "val", "test/b/3.mp4": "test"}
  (tmp_path / "notes").mkdir()
  with pytest.raises(DataError, match=r"the splits \['test', 'train', 'validation'\].* beside them: \['notes'\]"):
    open_any(f"folder:{tmp_path}").rows()  # and not three classes


@pytest.mark.fault("F26", "folder without videos", "exit 3")
def test_a_folder_without_videos_is_an_error(tmp_path):
  with pytest.raises(DataError, match="No videos in the 0 class folders"):
    open_any(f"folder:{tmp_path}").rows()
  with pytest.raises(DataError, match="There is no folder"):
    open_any(f"folder:{tmp_path}/none").rows()


def test_an_unknown_kind_or_data_set_is_a_config_error():
  with pytest.raises(ConfigError, match="did you mean 'folder'"):
    open_any("fodler:/x")
  with pytest.raises(ConfigError, match="no_such_set"):
    open_any("tfds:no_such_set")


def make_tfds(folder):
  """A real, tiny TFDS data set in array_record files, made by a builder of its own."""
  import numpy as np
  import tensorflow_datasets as tfds

  class TinyEcho(tfds.core.GeneratorBasedBuilder):
    """SIMULATED."""
    VERSION = tfds.core.Version("1.2.3")
    pkg_dir_path = folder

    def _info(self):
      return self.dataset_info_from_configs(description="SIMULATED", features=tfds.features.FeaturesDict({
          "id": tfds.features.Text(), "patient": tfds.features.Text(),
          "video": tfds.features.Tensor(shape=(), dtype=np.object_),
          "label": tfds.features.ClassLabel(names=["weak", "normal"])}))

    def _split_generators(self, dl_manager):
      return {s: self._generate_examples(s) for s in ("train", "validation", "test")}

    def _generate_examples(self, split):
      for i in range(3):
        with open(write_clip(folder / "clip.mp4", fps=5 + i), "rb") as file:
          yield i, {"id": f"{split}{i}", "patient": f"p{i}", "video": file.read(), "label": i % 2}

  builder = TinyEcho(data_dir=folder / "data", file_format="array_record")
  builder.download_and_prepare()
  return builder


def test_tfds_rows_and_bytes_come_from_a_real_data_set(tmp_path, monkeypatch):
  builder = make_tfds(tmp_path)
  module = types.ModuleType("vft.data.builders.tiny_echo")
  module.load_builder = lambda data_dir: builder  # type: ignore[attr-defined]
  monkeypatch.setitem(sys.modules, module.__name__, module)
  source = pickle.loads(pickle.dumps(open_any("tfds:tiny_echo")))  # noqa: S301
  rows = source.rows()
  assert source.classes == ("weak", "normal") and source.simulated
  assert "tiny_echo/1.2.3/train/0" in set(rows.path)
  assert sorted(rows.split) == ["test"] * 3 + ["train"] * 3 + ["val"] * 3
  assert sorted(rows.id[rows.split == "val"]) == ["validation0", "validation1", "validation2"]
  assert all(rows.label[rows.id.str.endswith("1")] == "normal") and sorted(set(rows.group)) == ["p0", "p1", "p2"]
  assert source.read(rows.path[0])[4:8] == b"ftyp"
  with pytest.raises(DataError, match=r"from another version; found tiny_echo/1\.2\.3"):
    source.read("tiny_echo/1.0.0/train/0")
