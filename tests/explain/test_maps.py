"""Maps equal what their papers write down, depend on the weights, and find what the score rests on."""
import functools

import jax
import numpy as np
import pytest
from scipy import stats

from tests import drawn
from vft.errors import ConfigError
from vft.explain import attention, gradcam, inputs
from vft.explain.subject import Subject, Target, find_target, logits, to_video
from vft.models import make
from vft.tasks import Task

TASK = Task(classes=("a", "b", "c"))
SHAPE = (1, 8, 32, 32, 3)
ATTENDING = ("vivit", "vivit_fe", "videoprism", "timesformer", "videomae")


@functools.cache
def subject(name, seed=0, variant="tiny", index=1, own=False):
  """A model of three classes; its first values are its `own` where what a score rests on should be in sight."""
  model, video = make(name, variant=variant, num_classes=3), np.zeros(SHAPE, np.float32)
  variables = jax.jit(model.init)(jax.random.key(seed), video) if own else drawn.variables(model, video, seed=seed)
  return Subject(model, variables, Target(TASK, index))


def clip(seed=0):
  """A bright square that moves over noise; of normalised pixels."""
  video = np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32) * 0.3
  for t in range(SHAPE[1]):
    video[:, t, 8:20, 2 * t:2 * t + 12] += 2
  return video


def scores_of(s, part, block="block_00", cap=np.inf):
  """Softmax of a layer's sown queries and keys, (B', heads, N, M)."""
  sown = jax.jit(lambda x: s.model.apply(s.variables, x, mutable=["attention"])[1])(clip())
  (q,), (k,) = (sown["attention"][block][part][name] for name in ("queries", "keys"))
  scores = np.einsum("bnhd,bmhd->bhnm", q, k) / np.sqrt(q.shape[-1])
  return np.asarray(jax.nn.softmax(scores if np.isinf(cap) else cap * np.tanh(scores / cap)))


def test_gradcam_of_a_linear_head_on_the_mean_is_its_weights_times_the_channels():
  s = subject("resnet")
  tokens = jax.jit(lambda x: s.model.apply(s.variables, x, method="features")[0])(clip())
  weights = s.variables["params"]["head"]["label"]["kernel"][:, 1]
  want = np.maximum(np.asarray(tokens @ weights), 0) / tokens.shape[1]
  np.testing.assert_allclose(gradcam.gradcam(s, clip()).reshape(1, -1), want, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("name", "block", "grid"), [
    ("resnet", "layer2_00", (8, 4, 4)), ("video_resnet", "layer2_01", (4, 8, 8))])
def test_gradcam_at_a_named_block_has_its_grid(name, block, grid):
  assert gradcam.gradcam(subject(name), clip(), block).shape == (1, *grid)


def test_rollout_is_the_row_of_the_product_of_all_layers():
  s = subject("vivit")
  mixed = [scores_of(s, "attention", f"block_{i:02}").mean(1)[0] / 2 for i in (0, 1)]
  eye = np.eye(len(mixed[0])) / 2
  want = ((mixed[1] + eye) @ (mixed[0] + eye))[0, 1:]
  np.testing.assert_allclose(attention.rollout(s, clip()).ravel(), want, rtol=1e-4)


def test_rollout_of_divided_attention_is_that_of_whole_matrices():
  s, t, n = subject("timesformer"), 8, 4
  row = np.eye(1 + t * n)[:1]
  for block in ("block_01", "block_00"):
    time, space = (scores_of(s, part, block).mean(1) for part in ("temporal_attention", "attention"))
    over_time, over_space = np.eye(1 + t * n), np.zeros((1 + t * n, 1 + t * n))
    for p in range(n):
      places = 1 + p + n * np.arange(t)
      over_time[np.ix_(places, places)] = time[p]
    for f in range(t):
      seen = np.append(0, 1 + n * f + np.arange(n))
      over_space[np.ix_(seen[1:], seen)] = space[f, 1:]
      over_space[0, seen] += space[f, 0] / t
    for one in (over_space, over_time):
      row = row @ (one + np.eye(1 + t * n)) / 2
  np.testing.assert_allclose(attention.rollout(s, clip()).ravel(), row[0, 1:], rtol=1e-4)


def test_rollout_of_space_and_then_time_is_the_product_of_their_rows():
  s, eye = subject("vivit_fe"), np.eye(5)
  time = (scores_of(s, "attention", "time_block_00").mean(1)[0] + eye)[0, 1:] / 2  # (T',), of the class token
  space = [(scores_of(s, "attention", f"block_{i:02}").mean(1) + eye) / 2 for i in (0, 1)]  # (T', 1 + H'W', ...)
  want = time[:, None] * (space[1] @ space[0])[:, 0, 1:]
  np.testing.assert_allclose(attention.rollout(s, clip()).reshape(4, 4), want, rtol=1e-4)


def test_rollout_of_places_over_time_is_that_of_whole_matrices():
  s, t, n = subject("videoprism"), 8, 4
  row = np.full(t * n, 1 / (t * n))
  for block in ("time_block_00", "block_01", "block_00"):
    whole, part = np.eye(t * n).reshape(t, n, t, n), scores_of(s, "attention", block, cap=1.0).mean(1)
    for i in range(len(part)):
      where = (slice(None), i, slice(None), i) if block.startswith("time") else (i, slice(None), i)
      whole[where] += part[i]
    row = row @ whole.reshape(t * n, t * n) / 2
  np.testing.assert_allclose(attention.rollout(s, clip()).ravel(), row, rtol=1e-4)


@pytest.mark.parametrize("name", ATTENDING)
def test_gradient_weighted_attention_depends_on_the_target_and_rollout_does_not(name):
  one, other = subject(name), subject(name, index=2)
  np.testing.assert_array_equal(attention.rollout(one, clip()), attention.rollout(other, clip()))
  maps = [attention.weighted(s, clip()) for s in (one, other)]
  assert maps[0].min() >= 0 and np.abs(maps[0] - maps[1]).max() > 0.1 * maps[0].max()


@pytest.mark.parametrize("variant", ["reg_tiny", "siglip_tiny"])
def test_registers_and_poolers_leave_a_map_of_patches(variant):
  s = subject("vit", variant=variant)
  assert attention.rollout(s, clip()).shape == attention.weighted(s, clip()).shape == (1, 8, 4, 4)


@pytest.mark.parametrize("still", [False, True])
def test_integrated_gradients_sum_to_the_score_above_where_they_begin(still):
  s, video = subject("videomae"), clip()
  begin = video.mean(axis=1, keepdims=True) if still else s.black
  above = s.score(video) - s.score(np.broadcast_to(begin, video.shape))
  assert inputs.integrated_gradients(s, video, 64, still).sum() == pytest.approx(above[0], rel=0.02)


def test_integrated_gradients_of_one_channel_begin_at_its_black():
  model, video = make("videomae", variant="tiny", num_classes=3), clip().mean(axis=-1, keepdims=True)
  s = Subject(model, drawn.variables(model, video), Target(TASK, 1), channels=1)
  assert s.black == pytest.approx([-np.mean(model.mean) / np.mean(model.std)])
  assert inputs.integrated_gradients(s, video, 2).shape == video.shape[:-1]


def test_from_the_mean_frame_only_what_moves_has_a_share():
  video = clip()
  video[:, :, :8] = video[:, :1, :8]
  values = inputs.integrated_gradients(subject("videomae"), video, 2, still=True)
  assert np.abs(values[:, :, :8]).max() < 1e-5 * np.abs(values).max()


def test_occlusion_finds_the_only_frame_that_differs():
  video = np.repeat(clip()[:, :1], SHAPE[1], axis=1)
  video[:, 5, 8:24, 8:24] += 3
  drops = np.abs(inputs.occlusion(subject("vivit"), video, width=1))
  assert drops.shape == (1, 8, 1, 1) and drops.argmax() == 5


CASES = {"gradcam": ("video_resnet", functools.partial(gradcam.gradcam, block="layer2_01")),
         "gradcam of frames": ("resnet", functools.partial(gradcam.gradcam, block="layer2_00")),
         "attention": ("vivit", attention.weighted), "divided": ("timesformer", attention.weighted),
         "integrated gradients": ("videomae", inputs.integrated_gradients)}


@pytest.mark.parametrize("case", [*CASES, "rollout", "occlusion"])
def test_other_random_weights_change_the_map(case):
  """arXiv:1810.03292, sec. 3: ranks of places under other weights do not follow those of the model."""
  name, method = {"rollout": ("vivit", attention.rollout), "occlusion": ("videomae", inputs.occlusion), **CASES}[case]

  def ranks_agree(other, video):
    maps = [method(s, x).ravel() for s, x in ((subject(name), clip()), (other, video))]
    return abs(stats.spearmanr(*maps)[0]) if np.ptp(maps[1]) else 0.0  # Grad-CAM may be 0 all over
  assert ranks_agree(subject(name), clip() * 1.001) > 0.95
  assert np.mean([ranks_agree(subject(name, seed), clip()) for seed in (1, 2, 3)]) < 0.6


@pytest.mark.parametrize("case", CASES)
def test_the_score_falls_faster_along_the_map_than_along_random_ones(case):
  (name, method), video = CASES[case], clip()
  s = subject(name, own=True)
  black = np.broadcast_to(s.black, video.shape).astype(np.float32)
  seen, unseen = (logits(s.model, s.variables, x)["label"][0] for x in (video, black))
  s = subject(name, index=int(np.argmax(seen - unseen)), own=True)  # what the clip speaks for
  rough = method(s, video)
  curve = inputs.deletion(s, video[0], to_video(rough, SHAPE[1:4])[0])
  assert curve[[0, -1]] == pytest.approx(s.score(np.concatenate([video, black])), abs=1e-5)
  ours, chance = inputs.against_chance(s, video, rough)
  assert ours == pytest.approx(curve[1:-1].mean(), abs=1e-5) and ours < chance.mean() and chance.shape == (8,)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: gradcam.gradcam(subject("resnet"), clip(), "layer2_01"), ["layer2_01", "did you mean 'layer"]),
    (lambda: gradcam.gradcam(subject("vivit"), clip(), "block_00"), ["block_00 of vivit gives tokens", "=attention"]),
    (lambda: attention.rollout(subject("resnet"), clip()), ["resnet has no attention", "--method=gradcam"]),
    (lambda: find_target((TASK,), "d", {}), ["'d'; known: 'label=a', 'a'"])], ids=["block", "tokens", "cnn", "target"])
def test_what_a_model_has_not_is_said(call, words):
  with pytest.raises(ConfigError) as e:
    call()
  for word in words:
    assert word in str(e.value)
