"""VideoPrism: its files, those of the video-text models, other clips than the published, and what each encoder sees."""
import jax
import numpy as np
import pytest

from tests import drawn
from tests.golden import check, weights
from vft import convert
from vft.errors import WeightsError
from vft.models import make, ops

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "videoprism.npz")[0][
    "shapes"]}  # tiny: 4 frames of 48 x 48


def load(path, shape=(1, 4, 48, 48, 3), prefix="params/", more=(), classes=5, keep_init=()):
  """Model, variables and report, of the seeded weights as the authors write them."""
  arrays = {name.replace("params/", prefix): a for name, a in weights.make_weights(SHAPES, 0).items()}
  np.savez(path, **{name.replace(f"{prefix}head", "params/head"): a for name, a in arrays.items()}, **dict(more))
  model = make("videoprism", variant="tiny", num_classes=classes)
  variables = drawn.variables(model, np.zeros(shape, np.float32))
  return model, *convert.load(variables, str(path), model=model, keep_init=keep_init)


def test_the_encoder_of_a_video_text_model_and_of_a_classifier_is_found(tmp_path):
  _, want, report = load(tmp_path / "a.npz")
  assert not report.resized and not report.unused and not report.left_at_init
  more = {"params/text_encoder/token_emb/emb_var": np.ones((3, 2), np.float32)}
  _, got, report = load(tmp_path / "a.npz", prefix="params/vision_encoder/", more=more)
  assert not report.unused
  jax.tree.map(np.testing.assert_array_equal, got, want)
  more = {"params/atten_pooler/pooling_attention_query": np.ones((1, 2), np.float32)}
  _, got, report = load(tmp_path / "a.npz", prefix="params/encoder/", more=more)
  assert [name for name, _ in report.unused] == list(more)
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("shape, resized", [
    ((1, 6, 64, 80, 3), {"embed/pos_space", "time_embed/pos_time"}), ((1, 4, 48, 48, 1), {"embed/kernel"})])
def test_other_clips_interpolate_what_they_change(tmp_path, shape, resized):
  model, variables, report = load(tmp_path / "a.npz", shape, classes=3, keep_init=("head/.*",))
  assert {name for name, _ in report.resized} == resized
  logits = jax.jit(model.apply)(variables, weights.make_video(shape, 0))["label"]
  assert logits.shape == (1, 3) and np.isfinite(logits).all()


def test_a_kernel_of_no_square_patches_is_refused(tmp_path):
  kernel = {"params/patch_projection/linear/kernel": np.ones((40, 128), np.float32)}
  np.savez(tmp_path / "a.npz", **{**weights.make_weights(SHAPES, 0), **kernel})
  model = make("videoprism", variant="tiny", num_classes=5)
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 4, 48, 48, 3), np.float32))
  with pytest.raises(WeightsError, match=r"patch_projection.*\(40, 128\).*not of square patches"):
    convert.load(empty, str(tmp_path / "a.npz"), model=model)


def test_a_change_of_one_place_reaches_the_whole_frame_and_then_all_times(tmp_path):
  model, variables, _ = load(tmp_path / "a.npz")
  def run(video):
    _, state = model.apply(variables, video, mutable="intermediates",
                           capture_intermediates=lambda m, _: m.name in ("norm", "time_norm"))
    return [state["intermediates"][name]["__call__"][0] for name in ("norm", "time_norm")]
  video = weights.make_video((1, 4, 48, 48, 3), 0)
  other = video.copy()
  other[:, 1, :16, :16] += 1
  (space, time), (space_too, time_too) = (jax.jit(run)(x) for x in (video, other))
  moved = np.abs(space - space_too).max(axis=2)  # (T, H'W')
  assert (moved[1] > 1e-3).all() and not moved[[0, 2, 3]].any()
  assert (np.abs(time - time_too).max(axis=2) > 1e-4).all()  # (H'W', T)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_capped_scores_are_those_of_the_formula(dtype):
  q, k, v = (3 * weights.make_video((2, 5, 3, 8), seed) for seed in range(3))
  scores = 2 * np.tanh(np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(8) / 2)
  shares = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
  got = ops.attention(*(x.astype(dtype) for x in (q, k, v)), cap=2.0)
  want = np.einsum("bhnm,bmhd->bnhd", shares, v)
  assert got.dtype == dtype
  assert np.abs(got.astype(np.float32) - want).max() < (1e-5 if dtype == "float32" else 0.1) * np.abs(want).max()
