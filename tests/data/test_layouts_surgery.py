"""Surgery and endoscopy as they lie on the disk: frames that count from 0 or 1, odd rates, gaps, and what is wrong."""
import math
from fractions import Fraction

import av
import numpy as np
import pytest

from configs import default
from tests import tiny
from tests.clips import frames, write_clip
from tests.layouts import autolaparo, cataract101, cholec80, hyperkvasir, jigsaws, polypdiag
from vft.data import readers, sources
from vft.data.manifest import make_manifest
from vft.errors import ConfigError, DataError

MODULES = dict(cholec80=cholec80, autolaparo=autolaparo, cataract101=cataract101, hyperkvasir=hyperkvasir,
               polypdiag=polypdiag, jigsaws=jigsaws)


def open_any(folder, kind, columns=("label",), **options):
  config = default.get_config()
  config.data.options = options
  return sources.open_source(f"{kind}:{folder}", config.data, columns)


def write(file, text):
  file.parent.mkdir(parents=True, exist_ok=True)
  file.write_text(text)


def spans(rows, *columns):
  return [tuple(row) for row in rows[["start_s", "end_s", *columns]].itertuples(index=False)]


def one_cholec80(folder, phases, tools="", number=1):
  """Annotations of one video, without the video; phases are (frames, name)."""
  names = [name for count, name in phases for _ in range(count)]
  text = "Frame\tPhase\n" + "".join(f"{i}\t{name}\n" for i, name in enumerate(names) if name)
  write(folder / f"phase_annotations/video{number:02}-phase.txt", text)
  if tools:
    write(folder / f"tool_annotations/video{number:02}-tool.txt", tools)


def one_cataract101(folder, lines):
  write(folder / "videos.csv", "VideoID;Frames;FPS;Surgeon;Experience\n269;1000;25;4;1\n")
  write(folder / "phases.csv", "Phase;Meaning\n1;Incision\n2;Rhexis\n")
  write(folder / "annotations.csv", "VideoID;FrameNo;Phase\n" + "".join(f"269;{line}\n" for line in lines))


def one_jigsaws(folder, text="80 132 G1 \n", meta="Suturing_B001\t\tN\t13\t\t3\t2\t1\t2\t2\t3\n", name="Suturing_B001"):
  write(folder / f"Suturing/transcriptions/{name}.txt", text)
  write(folder / "Suturing/meta_file_Suturing.txt", meta)


def test_cholec80_frames_count_from_0_at_25_a_second_and_gaps_have_no_row(tmp_path):
  one_cholec80(tmp_path, [(50, "Preparation"), (25, ""), (25, "CalotTriangleDissection"), (1, "Preparation")])
  rows = open_any(tmp_path, "cholec80", ("phase",)).rows()
  assert spans(rows, "phase") == [(0.0, 2.0, "Preparation"), (3.0, 4.0, "CalotTriangleDissection"),
                                  (4.0, 4.04, "Preparation")]
  assert rows.group.unique().tolist() == ["video01"] and rows.label.equals(rows.phase)
  assert rows["where"][1].endswith("video01-phase.txt, frame 75")


def test_cholec80_tools_hold_for_the_second_of_their_frame_and_end_with_the_phases(tmp_path):
  one_cholec80(tmp_path, [(60, "Preparation"), (60, "ClippingCutting")],
               "Frame\tGrasper\tHook\n0\t1\t1\n25\t1\t1\n50\t0\t0\n100\t0\t1\n")
  rows = open_any(tmp_path, "cholec80", ("phase", "tools")).rows()
  assert spans(rows, "phase", "tools") == [
      (0.0, 2.0, "Preparation", "Grasper|Hook"), (2.0, 2.4, "Preparation", "-"), (2.4, 3.0, "ClippingCutting", "-"),
      (3.0, 4.0, "ClippingCutting", ""), (4.0, 4.8, "ClippingCutting", "Hook")]
  alone = open_any(tmp_path, "cholec80", ("tools",)).rows()
  assert spans(alone, "tools") == [(0.0, 2.0, "Grasper|Hook"), (2.0, 3.0, "-"), (4.0, 4.8, "Hook")]
  other = open_any(tmp_path, "cholec80", ("phases",)).rows()  # misspelt: the manifest says so, and what there is
  assert spans(other, "phase") == [(0.0, 2.4, "Preparation"), (2.4, 4.8, "ClippingCutting")]


@pytest.mark.parametrize(("split", "expected"), [
    ("40/40", ["train", "train", "train", "test", "test", "test"]),
    ("32/8/40", ["train", "val", "val", "test", "test", "test"]),
    ("40/8/32", ["train", "train", "train", "val", "val", "test"])])
def test_cholec80_splits_by_number(tmp_path, split, expected):
  for number in (32, 33, 40, 41, 48, 49):
    one_cholec80(tmp_path, [(25, "Preparation")], number=number)
  assert open_any(tmp_path, "cholec80", split=split).rows().split.tolist() == expected
  with pytest.raises(ConfigError, match=r"options\.split is '50/30'; Cholec80 has '40/40', '32/8/40', '40/8/32'"):
    open_any(tmp_path, "cholec80", split="50/30")


def test_cholec80_classes_are_names_in_the_order_of_the_boundary_rule(tmp_path):
  assert open_any(tmp_path, "cholec80").classes[4:] == (
      "GallbladderPackaging", "CleaningCoagulation", "GallbladderRetraction")
  assert open_any(tmp_path, "cholec80", ("phase", "tools")).classes == ()  # they are not those of the tools


def write_at_25_000001(path, video):
  """As some editors do: every frame a millionth of a second off, so that `frame % fps` is 0 for the first one only."""
  rate = Fraction(25_000_001, 1_000_000)
  with av.open(str(path), "w") as out:
    stream = out.add_stream("libx264", rate=rate)
    stream.width, stream.height, stream.pix_fmt = video.shape[2], video.shape[1], "yuv420p"
    stream.codec_context.time_base = 1 / rate
    for i, pixels in enumerate(video):
      frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
      frame.pts, frame.time_base = i, 1 / rate
      out.mux(stream.encode(frame))
    out.mux(stream.encode())


@pytest.mark.parametrize("name", ["cholec80", "jigsaws"])
def test_a_rate_that_is_not_quite_that_of_the_annotations_moves_no_label(name, tmp_path):
  grey = {"Preparation": 40, "ClippingCutting": 200, "G1": 40, "G2": 200}
  if name == "cholec80":  # frames 0 to 199, 200 to 299
    one_cholec80(tmp_path, [(200, "Preparation"), (100, "ClippingCutting")])
    path, fps = tmp_path / "videos/video01.mp4", 25
    path.parent.mkdir()
    write_at_25_000001(path, np.concatenate([frames(n, 16, 16, v, 0) for n, v in ((200, 40), (100, 200))]))
    assert 0 < readers.probe(str(path), max_pixels=10**6).fps - 25 < 1e-5
  else:  # frames 31 to 60, 61 to 70; nothing before
    one_jigsaws(tmp_path, "31 60 G1\n61 70 G2\n")
    path, fps = tmp_path / "Suturing/video/Suturing_B001_capture1.avi", 30
    path.parent.mkdir()
    write_clip(path, np.concatenate([frames(n, 16, 16, v, 0) for n, v in ((30, 250), (30, 40), (10, 200))]), fps=29.97,
               codec="mpeg4")
  source = open_any(tmp_path, name)
  for row in source.rows().itertuples():
    times = np.arange(round(row.start_s * fps), round(row.end_s * fps)) / fps
    shown = readers.read_clip(source.read(row.path), times, resize=8, max_pixels=10**6).astype(int)
    assert abs(shown - grey[row.label]).max() < 20, row.label  # not one frame of the phase before or after


def test_autolaparo_seconds_count_from_1(tmp_path):
  write(tmp_path / "labels/label_11.txt", "Frame\tPhase\n1\t2\n2\t2\n3\t1\n6\t1\n")
  rows = open_any(tmp_path, "autolaparo", ("phase",)).rows()
  assert spans(rows, "phase") == [(0.0, 2.0, "Dividing Ligament and Peritoneum"), (2.0, 3.0, "Preparation"),
                                  (5.0, 6.0, "Preparation")]
  assert rows.split.unique().tolist() == ["val"] and rows.path[0] == "videos/11.mp4" and rows.group[0] == "11"


def test_cataract101_keeps_what_is_between_the_first_and_the_last_label(tmp_path):
  one_cataract101(tmp_path, ["50;1", "100;2", "150;2", "200;1", "250;1"])
  rows = open_any(tmp_path, "cataract101").rows()
  assert spans(rows, "label") == [(2.0, 4.0, "Incision"), (4.0, 8.0, "Rhexis"), (8.0, 251 / 25, "Incision")]
  assert rows.surgeon[0] == "4" and rows.experience[0] == "1" and rows.group[0] == "case_269"
  one_cataract101(tmp_path, ["0;1", "100;2"])
  (_, first, _), (start, end, label) = spans(open_any(tmp_path, "cataract101").rows(), "label")
  assert (first, start, label) == (4.0, 4.0, "Rhexis") and math.isnan(end)  # to the end of the video


def test_cataract101_splits_by_rising_number_not_by_text(tmp_path):
  one_cataract101(tmp_path, [])
  numbers = [*range(100, 162), 9]
  for file, line in (("videos.csv", "{};10;25;4;1\n"), ("annotations.csv", "{};0;1\n")):
    write(tmp_path / file, (tmp_path / file).read_text().splitlines()[0] + "\n" + "".join(map(line.format, numbers)))
  rows = open_any(tmp_path, "cataract101").rows()
  assert rows.path[0] == "videos/case_9.mp4" and rows.split.value_counts().to_dict() == {
      "train": 51, "val": 10, "test": 2}


def test_jigsaws_frames_count_from_1_to_the_last_at_30_a_second(tmp_path):
  one_jigsaws(tmp_path, "80 132 G1 \n133 240 G2 \n301 330 G1\n")
  rows = open_any(tmp_path, "jigsaws", ("gesture", "skill", "grs"), capture=2).rows()
  assert spans(rows, "gesture") == [(79 / 30, 132 / 30, "G1"), (132 / 30, 8.0, "G2"), (10.0, 11.0, "G1")]
  assert rows.path[0] == "Suturing/video/Suturing_B001_capture2.avi"
  assert (rows.skill == "novice").all() and (rows.grs == "13").all() and (rows.surgeon == "B").all()
  whole = open_any(tmp_path, "jigsaws", ("skill",)).rows()
  assert whole.skill.tolist() == ["novice"] and whole.start_s[0] == 0 and math.isnan(whole.end_s[0])


def test_jigsaws_folds_leave_out_a_surgeon_or_a_trial_of_each(tmp_path):
  jigsaws.make(tmp_path)
  of = {scheme: open_any(tmp_path, "jigsaws", ("skill",), scheme=scheme, fold=2).rows() for scheme in ("LOUO", "LOSO")}
  left_out = {scheme: [p[-18:-13] for p in rows.path[rows.split == "test"]] for scheme, rows in of.items()}
  assert left_out["LOUO"] == ["_C001", "_C002"] and of["LOUO"].group.unique().tolist() == ["B", "C", "D", "E"]
  assert left_out["LOSO"] == ["_B002", "_C002", "_D002", "_E002"] and (of["LOSO"].group == "").all()
  with pytest.raises(ConfigError, match="LOSO has folds 1 to 5"):
    open_any(tmp_path, "jigsaws", scheme="LOSO", fold=6)
  with pytest.raises(DataError, match=r"LOUO fold 8 of .* has no trial to test on"):
    open_any(tmp_path, "jigsaws", fold=8).rows()


def test_hyperkvasir_labels_come_from_the_table_at_the_chosen_level(tmp_path, caplog):
  hyperkvasir.make(tmp_path)
  extra = tmp_path / "labeled-videos/lower-gi-tract/new.avi"
  extra.touch()
  found = {level: open_any(tmp_path, "hyperkvasir", level=level).rows() for level in ("finding", "category", "tract")}
  assert {level: set(rows.label) for level, rows in found.items()} == {
      "finding": {"polyps", "Z-line"}, "category": {"Pathological findings", "Anatomical landmarks"},
      "tract": {"Lower GI", "Upper GI"}}
  assert found["tract"].finding.equals(found["finding"].label) and len(found["tract"]) == 12
  assert "no line for 1 videos; they are left out: ['new']" in caplog.text


def test_polypdiag_tests_on_val_unless_there_is_a_test_list(tmp_path):
  polypdiag.make(tmp_path)
  rows = open_any(tmp_path, "polypdiag").rows()
  assert rows.split.value_counts().to_dict() == {"train": 8, "test": 4} and rows.label[1] == "abnormal"
  write(tmp_path / "splits/test.txt", "new, 1.mp4,0\n")
  rows = open_any(tmp_path, "polypdiag").rows()
  assert rows.split.value_counts().to_dict() == {"train": 8, "val": 4, "test": 1}
  assert rows.path.iloc[-1] == "videos/new, 1.mp4"


@pytest.mark.parametrize("name", ["cholec80", "autolaparo", "hyperkvasir", "polypdiag", "jigsaws"])
def test_a_listed_video_that_is_missing_is_skipped_with_its_reason(name, tmp_path):
  MODULES[name].make(tmp_path)
  gone = sorted([*tmp_path.rglob("*.mp4"), *tmp_path.rglob("*.avi")])[0]
  gone.unlink()
  config = tiny.make_config(tmp_path / "none.csv", tmp_path / "config", data=dict(
      source=f"{name}:{tmp_path}", max_bad_fraction=0.5))
  table = make_manifest(config).table
  skipped = table[table.status == "skipped"]
  assert skipped.path.str.endswith(gone.name).all() and len(skipped)
  assert skipped.reason.str.startswith("no such file: ").all()


def broken(name, tmp_path):
  """The tiny tree with nothing in it that is slow to write."""
  if name == "cholec80":
    one_cholec80(tmp_path, [(25, "Preparation")], "Frame\tGrasper\n0\t1\n")
  elif name == "autolaparo":
    write(tmp_path / "labels/label_01.txt", "Frame\tPhase\n1\t1\n")
  elif name == "cataract101":
    one_cataract101(tmp_path, ["0;1", "100;2"])
  elif name == "hyperkvasir":
    write(tmp_path / "labeled-videos/video-labels.csv", f"{hyperkvasir.HEADER}\nv,Lower GI,polyps,Findings,,,\n")
  elif name == "polypdiag":
    write(tmp_path / "splits/train.txt", "a.mp4,0\n")
    write(tmp_path / "splits/val.txt", "b.mp4,1\n")
  else:
    one_jigsaws(tmp_path)


@pytest.mark.parametrize(("name", "file", "text", "message"), [
    ("cholec80", "phase_annotations/video01-phase.txt", "Frame\tPhase\n0\tPreperation\n",
     r"video01-phase\.txt, line 2: phase 'Preperation' unknown; did you mean 'Preparation'"),
    ("cholec80", "phase_annotations/video01-phase.txt", "0\tPreparation\n", r"phase\.txt, line 1: '0\\tPreparation'"),
    ("cholec80", "phase_annotations/video01-phase.txt", "Frame\tPhase\n", "no line but the first"),
    ("cholec80", "phase_annotations/video01-phase.txt", "Frame\tPhase\n0\tPreparation\n0\tPreparation\n",
     "line 3: .*\nExpected .* frame numbers rise, the last was 0"),
    ("cholec80", "phase_annotations/video01-phase.txt", None, "No videos in"),
    ("cholec80", "videos/video07.mp4", "", r"video07-phase\.txt: No such file or directory(.|\n)*Frame<TAB>Phase"),
    ("cholec80", "videos/video81.mp4", "", r"video81\.mp4 is none of Cholec80"),
    ("cholec80", "tool_annotations/video01-tool.txt", "Frame\tGrasper\n1\t1\n", r"tool\.txt, line 2: '1\\t1'"),
    ("cholec80", "tool_annotations/video01-tool.txt", "Frame\tGrasper\n0\t2\n", r"tool\.txt, line 2: '0\\t2'"),
    ("cholec80", "tool_annotations/video01-tool.txt", "Frame\tGrasper\n", r"tool\.txt: no line but the first"),
    ("cholec80", "tool_annotations/video01-tool.txt", None, r"video01-tool\.txt: No such file"),
    ("autolaparo", "labels/label_01.txt", "Frame\tPhase\n1\t8\n", r"label_01\.txt, line 2: '1\\t8'(.|\n)*from 1 to 7"),
    ("autolaparo", "labels/label_01.txt", "Frame\tPhase\n0\t1\n", r"label_01\.txt, line 2: '0\\t1'(.|\n)*from 1 on"),
    ("autolaparo", "labels/label_01.txt", "Frame\tPhase\n1 1 1\n", r"label_01\.txt, line 2: '1 1 1'"),
    ("autolaparo", "labels/label_01.txt", None, "No videos in"),
    ("autolaparo", "videos/22.mp4", "", r"22\.mp4 is none of AutoLaparo"),
    ("cataract101", "annotations.csv", None, r"annotations\.csv: No such file"),
    ("cataract101", "annotations.csv", "VideoID;FrameNo;Phase\n269;0;3\n", r"annotations\.csv, line 2: '269;0;3'"),
    ("cataract101", "annotations.csv", "VideoID;FrameNo;Phase\n269;9;1\n269;8;2\n", "line 3: '269;8;2'.*\n.*rising"),
    ("cataract101", "annotations.csv", "VideoID;FrameNo;Phase\n268;0;1\n", "line 2: '268;0;1'"),
    ("cataract101", "annotations.csv", "VideoID;FrameNo;Phase\n", r"videos\.csv, line 2: (.|\n)*video 269"),
    ("cataract101", "annotations.csv", "VideoID,FrameNo,Phase\n", "line 1: no column 'VideoID'"),
    ("cataract101", "videos.csv", "VideoID;Frames;FPS;Surgeon;Experience\n269;1;25.0;4;1\n", r"videos\.csv, line 2"),
    ("hyperkvasir", "labeled-videos/video-labels.csv", None, r"video-labels\.csv: No such file"),
    ("hyperkvasir", "labeled-videos/video-labels.csv", f"{hyperkvasir.HEADER}\nv,Lower GI,,F,,,\n", "line 2: 'v,Lower"),
    ("hyperkvasir", "labeled-videos/video-labels.csv", f"{hyperkvasir.HEADER}\nv,Lower GI\n", "line 2: .*\n.*7 cells"),
    ("polypdiag", "splits/val.txt", None, r"val\.txt: No such file"),
    ("polypdiag", "splits/val.txt", "b.mp4 1\n", r"val\.txt, line 1: 'b\.mp4 1'"),
    ("polypdiag", "splits/val.txt", "b.mp4,polyp\n", r"val\.txt, line 1: 'b\.mp4,polyp'"),
    ("polypdiag", "splits/val.txt", "a.mp4,1\n", r"val\.txt, line 1: (.|\n)*it stands in .*train\.txt, line 1, too"),
    ("jigsaws", "Suturing/transcriptions/Suturing_B001.txt", "132 80 G1\n", r"B001\.txt, line 1: '132 80 G1'"),
    ("jigsaws", "Suturing/transcriptions/Suturing_B001.txt", "0 80 G1\n", r"B001\.txt, line 1: '0 80 G1'"),
    ("jigsaws", "Suturing/transcriptions/Suturing_B001.txt", "1 80 reach\n", r"B001\.txt, line 1: '1 80 reach'"),
    ("jigsaws", "Suturing/transcriptions/Suturing_B001.txt", None, r"B001\.txt: No such file"),
    ("jigsaws", "Suturing/transcriptions/Suturing_X001.txt", "1 8 G1\n", "'Suturing_X001' is no trial of Suturing"),
    ("jigsaws", "Suturing/meta_file_Suturing.txt", "Suturing_B001 Z 13\n", r"meta_file_Suturing\.txt, line 1"),
    ("jigsaws", "Suturing/meta_file_Suturing.txt", None, r"meta_file_Suturing\.txt: No such file"),
])
def test_a_fault_names_its_file_and_line(name, file, text, message, tmp_path):
  broken(name, tmp_path)
  columns = ("phase", "tools") if name == "cholec80" else ("label",)
  assert len(open_any(tmp_path, name, columns).rows())
  if text is None:
    (tmp_path / file).unlink()
  else:
    write(tmp_path / file, text)
  with pytest.raises(DataError, match=message) as e:
    open_any(tmp_path, name, columns).rows()
  assert "Expected" in str(e.value)


@pytest.mark.parametrize("name", MODULES)
def test_a_layout_says_what_it_was_checked_against(name, tmp_path):
  assert "github.com/" in open_any(tmp_path, name).CHECKED
