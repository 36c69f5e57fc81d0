"""The track of a run on real files, read back as TensorBoard and a person would."""
import json
import os
import pty
import re
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from vft import hparams, progress, writer
from vft.hooks import Tick
from vft.progress import Clock
from vft.writer import Writer, read_metrics


def make(path, **options):
  return Writer(path, **(dict(tensorboard=False, progress=False) | options))


def events(path):
  from tensorboard.backend.event_processing import event_accumulator
  found = event_accumulator.EventAccumulator(str(path / "tb"), size_guidance=dict(images=0, tensors=0))
  return found.Reload()


def test_a_line_is_written_at_once_and_nan_is_null(tmp_path):
  with make(tmp_path) as w:
    w.write(120, "val", {"accuracy": np.float32(0.5), "loss": jnp.float32(np.nan), "n": np.int64(3), "auroc": None})
    text = (tmp_path / "metrics.jsonl").read_text()  # before the writer is closed
  assert text == '{"step": 120, "split": "val", "accuracy": 0.5, "loss": null, "n": 3, "auroc": null}\n'


def test_resumed_run_has_no_line_twice_and_mends_a_torn_one(tmp_path):
  with make(tmp_path) as w:
    for step in (10, 20, 30):
      w.write(step, "train", {"loss": step})
  with (tmp_path / "metrics.jsonl").open("a") as file:
    file.write('{"step": 5, "spl')  # killed while writing
  with make(tmp_path) as w:
    w.truncate(20)
    w.write(30, "train", {"loss": 31})
  assert [(x["step"], x["loss"]) for x in read_metrics(tmp_path / "metrics.jsonl")] == [(10, 10), (20, 20), (30, 31)]
  assert [p.name for p in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_tensorboard_reads_scalars_images_and_the_confusion_matrix(tmp_path):
  with make(tmp_path, tensorboard=True) as w:
    w.write(1, "val", {"accuracy": 0.25, "auroc": None})
    w.images(1, "clips", np.full((2, 4, 6, 3), 7, np.uint8))
    w.confusion(1, "val/confusion", np.array([[3, 1], [0, 0]]), ["benign", "malignant"])
  found = events(tmp_path)
  assert found.Tags()["scalars"] == ["val/accuracy"] and found.Scalars("val/accuracy")[0].value == 0.25
  assert found.Tags()["images"] == ["clips/0", "clips/1", "val/confusion/map"]
  table = found.Tensors("val/confusion/text_summary")[0].tensor_proto.string_val[0].decode()
  assert "| **0 benign** | 3 | 1 | 0.75 |" in table and "| **1 malignant** | 0 | 0 | – |" in table


def test_png_is_read_back_exactly(tmp_path):
  image = np.random.default_rng(0).integers(256, size=(5, 7, 3)).astype(np.uint8)
  with make(tmp_path, tensorboard=True) as w:
    w.images(1, "x", image[None])
  (tmp_path / "x.png").write_bytes(events(tmp_path).Images("x/0")[0].encoded_image_string)
  with Image.open(tmp_path / "x.png") as back:
    assert (np.asarray(back) == image).all()


def test_tensorboard_forgets_what_a_resumed_run_repeats(tmp_path):
  for first in (True, False):  # the second writer may open within the same second
    with make(tmp_path, tensorboard=True) as w:
      if not first:
        w.truncate(10)
      for step in (10, 20, 30) if first else (20,):
        w.write(step, "train", {"loss": float(first)})
  assert [(x.step, x.value) for x in events(tmp_path).Scalars("train/loss")] == [(10, 1.0), (20, 0.0)]


def session_groups(path):
  """The rows of TensorBoard's table of hyperparameters, by the plugin itself: [({name: value}, {tag: value}), ...]."""
  from tensorboard import context
  from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
  from tensorboard.plugins import base_plugin
  from tensorboard.plugins.hparams import api_pb2, backend_context, list_session_groups
  found = plugin_event_multiplexer.EventMultiplexer().AddRunsFromDirectory(str(path))
  found.Reload()
  here = base_plugin.TBContext(data_provider=data_provider.MultiplexerDataProvider(found, str(path)))
  request = api_pb2.ListSessionGroupsRequest(start_index=0, slice_size=9, include_metrics=True, allowed_statuses=[
      api_pb2.STATUS_UNKNOWN, api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE, api_pb2.STATUS_RUNNING])
  answer = list_session_groups.Handler(context.RequestContext(), backend_context.Context(here), "", request).run()
  return [({k: getattr(v, v.WhichOneof("kind")) for k, v in g.hparams.items()},
           {m.name.tag: m.value for m in g.metric_values}) for g in answer.session_groups]


def test_tensorboard_compares_runs_by_what_was_chosen_and_what_came_out(tmp_path, tiny_config):
  for name, lr in (("one", 0.5), ("two", 0.25)):
    tiny_config.groups.head.lr = lr
    (tmp_path / name).mkdir()
    with make(tmp_path / name, tensorboard=True) as w:
      w.started(hparams.of_config(tiny_config))
    with make(tmp_path / name, tensorboard=True) as w:
      w.finished(7, hparams.of_result({"test": {"video": {"accuracy": {"value": lr}, "auroc": {"value": None}}}}))
  rows = sorted(session_groups(tmp_path), key=lambda row: -row[0]["groups.head.lr"])
  assert [row[1] for row in rows] == [{"test/video/accuracy": 0.5}, {"test/video/accuracy": 0.25}]
  assert rows[0][0] | {"groups.head.lr": 0.25} == rows[1][0]
  assert rows[0][0]["model.name"] == "videomae" and rows[0][0]["groups.trunk.train"] is False
  assert rows[0][0]["controls"] == "()" and "train.ema" not in rows[0][0]
  assert not (tmp_path / "one/metrics.jsonl").exists()


@pytest.mark.fault("F54", "TensorBoard's and metrics' files cannot be written", "one warning each; the run goes on")
def test_a_failing_disk_costs_one_warning_and_the_run_goes_on(tmp_path, caplog):
  (tmp_path / "metrics.jsonl").mkdir()  # cannot be appended to, even by root
  (tmp_path / "tb").write_text("")
  with make(tmp_path, tensorboard=True) as w:
    for step in range(50):
      w.write(step, "train", {"loss": 1.0})
    w.confusion(1, "c", np.eye(2), "ab")
  assert [r.getMessage().split(" in ")[0] for r in caplog.records] == [
      "Cannot write TensorBoard's files", "Cannot write metrics.jsonl"]


@pytest.mark.fault("F54", "disk of the metrics full", "one warning each; the run goes on")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux only")
def test_a_disk_that_fills_up_while_training_does_not_hang(tmp_path, caplog):
  (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
  with make(tmp_path, tensorboard=True) as w:
    w.write(0, "train", {"loss": 1.0})
    with open("/dev/full", "wb") as full:
      os.dup2(full.fileno(), w._events._writer.fileno())  # a real full disk, from now on
    for step in range(50):
      w.write(step, "train", {"loss": 1.0})
  assert len(caplog.records) == 2


def test_a_line_after_a_torn_one_is_whole(tmp_path):
  path = tmp_path / "metrics.jsonl"
  with make(tmp_path) as w:
    path.mkdir()
    w.write(1, "train", {})
    path.rmdir()
    path.write_text('{"step": 1, "spl')  # what a full disk leaves
    w.write(2, "train", {})
  assert [x["step"] for x in read_metrics(path)] == [2]


def test_without_a_terminal_progress_is_plain_and_rare(tmp_path, capsys, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  with make(tmp_path, progress=True, total_steps=400) as w:
    for step in range(100, 126):
      w.progress(step, loss=0.5, clips_per_s=33.123, causes="data 3 %")
      now[0] += 1
  shown = capsys.readouterr()
  assert shown.out == "" and "\x1b" not in shown.err
  assert shown.err.splitlines() == [
      "step 100/400 · loss 0.5000 · 33.1 clips/s · data 3 %",
      "step 110/400 · loss 0.5000 · 33.1 clips/s · 4 min 50 s left · data 3 %",
      "step 120/400 · loss 0.5000 · 33.1 clips/s · 4 min 40 s left · data 3 %",
      "step 125/400 · loss 0.5000 · 33.1 clips/s · 4 min 35 s left · data 3 %"]


def test_the_rate_of_a_pass_over_the_features_leaves_out_the_pass_before(tmp_path, capsys, monkeypatch):
  now = [0.0]
  monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
  with make(tmp_path, progress=True, total_steps=1) as w:
    for seconds, clips in ((100, 200), (20, 20)):
      tick = Tick(w, lambda: None)
      for part in (1, 2):
        now[0] += seconds / 2
        tick(part * clips // 2, clips)
  assert [line.split(" · ")[:2] for line in capsys.readouterr().err.splitlines()] == [
      ["features 100/200 clips", "2.0 clips/s"], ["features 200/200 clips", "2.0 clips/s"],
      ["features 10/20 clips", "1.0 clips/s"], ["features 20/20 clips", "1.0 clips/s"]]


def test_on_a_terminal_progress_is_one_live_line(tmp_path, monkeypatch):
  parent, child = pty.openpty()
  monkeypatch.setenv("TERM", "xterm")
  monkeypatch.setenv("COLUMNS", "80")
  with os.fdopen(child, "w") as terminal:
    monkeypatch.setattr(sys, "stderr", terminal)
    with make(tmp_path, progress=True, total_steps=20) as w:
      for step in range(20):
        w.progress(step, loss=0.5, clips_per_s=33.0, causes="data 3 % · step 97 %")
    shown = b""
    while b"\x1b[?25h" not in shown:  # the cursor is shown again; a terminal hands its text out in pieces
      shown += os.read(parent, 100_000)
  os.close(parent)
  lines = [re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", x) for x in re.split(r"[\r\n]", shown.decode())]
  assert max(map(len, lines)) <= 80 and any("step 19/20 · loss 0.5000" in x for x in lines)


def test_progress_off_is_silent(tmp_path, capsys):
  with make(tmp_path) as w:
    w.progress(1, loss=1.0, clips_per_s=1.0)
  assert capsys.readouterr() == ("", "")


def test_clock_charges_nested_time_once():
  now = [0.0]
  clock = Clock(now=lambda: now[0])
  with clock("eval"):
    now[0] += 3
    with clock("data"):
      now[0] += 1
    now[0] += 2
  with pytest.raises(KeyError), clock("step"):
    now[0] += 10
    raise KeyError
  now[0] += 4
  assert clock.seconds == {"eval": 5.0, "data": 1.0, "step": 10.0} and clock.total_s == 20
  assert clock.text() == "eval 25 % · data 5 % · step 50 % · other 20 %"


def test_confusion_map_is_dark_where_the_share_is_high():
  image = writer.draw_confusion(np.array([[9, 1], [5, 5]]))
  cell = image.shape[0] // 3
  dark, light = image[cell + 2, cell + 2], image[cell + 2, 2 * cell + 2]
  assert image.dtype == np.uint8 and image.shape[2] == 3 and dark.sum() < light.sum()


@pytest.mark.parametrize("seconds, text", [
    (8.4, "8 s"), (59.6, "1 min 00 s"), (252, "4 min 12 s"), (11100, "3 h 05 min")])
def test_durations_are_said_as_a_person_does(seconds, text):
  assert progress.duration(seconds) == text


def test_lines_are_json(tmp_path):
  with make(tmp_path) as w:
    w.write(1, "train", {"loss": float("inf")})
  assert json.loads((tmp_path / "metrics.jsonl").read_text())["loss"] is None
