"""An hour of 720p video in bounded memory: prediction by windows and by moments; two hours of moments to train on."""
import subprocess
import sys
import time

import av
import numpy as np
import pytest

from tests import tiny
from tests.benchmarks.check import resident
from tests.clips import repeat_clip
from tests.test_sequences import read, write_procedures
from vft import run

GIB = 1024  # MiB
LITE0 = dict(name="efficientnet_lite", variant="lite0", hidden=(32,), depth=4)


@pytest.fixture(scope="module")
def hour(tmp_path_factory):
  """60 minutes of 1280 x 720 at 25 frames a second, a key frame every 10 s: one minute, sixty times."""
  folder = tmp_path_factory.mktemp("hour")
  grey = (np.add.outer(np.arange(720), np.arange(1280)) // 8 % 256).astype(np.uint8)
  with av.open(str(folder / "minute.mp4"), "w") as out:
    stream = out.add_stream("libx264", rate=25)
    stream.width, stream.height, stream.pix_fmt, stream.codec_context.gop_size = 1280, 720, "yuv420p", 250
    stream.options = {"preset": "ultrafast"}
    for i in range(1500):
      pixels = np.repeat(np.roll(grey, 3 * i, axis=1)[..., None], 3, axis=-1)
      out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    out.mux(stream.encode())
  return repeat_clip(folder / "minute.mp4", folder / "hour.mp4", 60)


def predicted(workdir, video, out):
  """Seconds and peak MiB, all processes together, of `vft predict`."""
  start, peak = time.monotonic(), 0.0
  process = subprocess.Popen([sys.executable, "-m", "vft.cli", "predict", str(workdir), video, f"--output={out}"])
  while process.poll() is None:
    peak = max(peak, resident(process.pid))
    time.sleep(0.2)
  assert process.returncode == 0
  print(f"{out.stem}: {time.monotonic() - start:.0f} s, peak {peak:.0f} MiB")
  return peak


@pytest.mark.long
@pytest.mark.parametrize("unit", ["clip", "video"])
def test_an_hour_of_720p_is_predicted_under_one_gib(unit, hour, tmp_path):
  frames = 1 if unit == "video" else 8
  config = tiny.make_config(
      write_procedures(tmp_path), tmp_path, sequence=dict(unit=unit), train=dict(batch=4, epochs=2),
      data=dict(num_frames=frames, fps=8.0, resize=224, size=224, stride_s=4.0 if unit == "clip" else 0.0, workers=1),
      init=dict(weights="efficientnet_lite0_imagenet", keep_init=("head/.*",)),
      model={**LITE0, "head": "tcn" if unit == "video" else "linear"})
  run.run(config, tmp_path / "run")
  assert predicted(tmp_path / "run", hour, tmp_path / f"{unit}.csv") < GIB
  assert len(read(tmp_path / f"{unit}.csv")) == (3600 if unit == "video" else 900)


@pytest.mark.long
def test_a_procedure_of_two_hours_trains_as_one_sequence(tmp_path):
  """A tcn of TeCNO's size over 7,200 vectors of 1,280 channels: what grows with length is the sequence alone."""
  import jax
  import optax

  from vft import models
  model = models.make("efficientnet_lite", variant="lite0", tasks={"phase": 7}, head="tcn", hidden=(64,), depth=10,
                      stages=2, unit="video")
  def peak(length):
    vectors = jax.ShapeDtypeStruct((1, length, 1280), np.float32)
    params = jax.eval_shape(lambda: model.init(jax.random.key(0), np.zeros((1, 1, 224, 224, 3))))["params"]["head"]

    def loss(head, x):
      logits = model.apply({"params": {"head": head}}, x, (length, 1, 1), True, method="head",
                           rngs={"dropout": jax.random.key(0)})["phase"]
      return optax.softmax_cross_entropy_with_integer_labels(logits, np.zeros(logits.shape[:-1], np.int32)).sum()
    return jax.jit(jax.grad(loss)).lower(params, vectors).compile().memory_analysis().temp_size_in_bytes
  assert peak(7200) < 2**29 and peak(7200) < 2.5 * peak(3600)


def test_the_minute_that_is_repeated_keeps_its_pace(tmp_path):
  from tests.clips import frames, write_clip
  from vft.data import readers
  write_clip(tmp_path / "a.mp4", frames(20), fps=10)
  path = repeat_clip(tmp_path / "a.mp4", tmp_path / "b.mp4", 3)
  assert readers.probe(path, max_pixels=10**6).duration_s == pytest.approx(6.0, abs=0.01)
