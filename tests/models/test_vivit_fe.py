"""ViViT's factorised encoder: Scenic's files, other clips than the published, and what the two transformers see."""
import jax
import numpy as np
import pytest
from flax import serialization

from tests import drawn
from tests.golden import check, weights
from vft import convert, trees
from vft.errors import WeightsError
from vft.models import make

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "vivit_fe.npz")[0][
    "shapes"]}  # tiny: 4 frames of 48 x 48


def load(path, shape=(1, 4, 48, 48, 3), classes=5, keep_init=(), old=True, **options):
  """Model, variables and report, of the seeded weights as Scenic writes them."""
  tree = trees.unflatten(weights.make_weights(SHAPES, 0))["params"]
  old_state = {"optimizer": {"target": tree, "state": {"step": 3}}, "global_step": 3}
  path.write_bytes(serialization.to_bytes(old_state if old else {"params": tree, "opt_state": {"0": tree}}))
  model = make("vivit_fe", variant="tiny", num_classes=classes, **options)
  variables = drawn.variables(model, np.zeros(shape, np.float32))
  return model, *convert.load(variables, str(path), model=model, keep_init=keep_init)


def test_files_of_old_and_new_scenic_give_the_same_variables(tmp_path):
  _, want, report = load(tmp_path / "checkpoint")
  _, got, _ = load(tmp_path / "checkpoint", old=False)
  assert not report.resized and not report.unused and not report.left_at_init
  jax.tree.map(np.testing.assert_array_equal, got, want)
  theirs = weights.make_weights(SHAPES, 0)["params/TemporalTransformer/posembed_input/pos_embedding"]
  np.testing.assert_array_equal(want["params"]["time_embed"]["cls_position"], theirs[0, 0])
  np.testing.assert_array_equal(want["params"]["time_embed"]["pos_time"], theirs[0, 1:])


@pytest.mark.parametrize("shape, tubelet, resized", [
    ((1, 12, 64, 80, 3), 2, {"embed/pos_space", "time_embed/pos_time"}), ((1, 4, 64, 48, 3), 2, {"embed/pos_space"}),
    ((1, 8, 48, 48, 1), 4, {"embed/kernel"})])
def test_other_clips_interpolate_what_they_change(tmp_path, shape, tubelet, resized):
  model, variables, report = load(tmp_path / "checkpoint", shape, 3, ("head/.*",), tubelet=tubelet)
  assert {name for name, _ in report.resized} == resized
  logits = jax.jit(model.apply)(variables, weights.make_video(shape, 0))["label"]
  assert logits.shape == (1, 3) and np.isfinite(logits).all()


def test_another_number_of_classes_is_refused_unless_the_head_is_new(tmp_path):
  with pytest.raises(WeightsError, match=r"has 5 classes, the config 3.*\n?.*keep_init"):
    load(tmp_path / "checkpoint", classes=3)


def test_a_time_is_seen_by_the_first_transformer_alone_and_by_the_second_with_the_others(tmp_path):
  model, variables, _ = load(tmp_path / "checkpoint", (1, 8, 48, 48, 3))
  def run(video):
    _, state = model.apply(variables, video, mutable="intermediates",
                           capture_intermediates=lambda m, _: m.name in ("norm", "time_norm"))
    return [state["intermediates"][name]["__call__"][0] for name in ("norm", "time_norm")]
  video = weights.make_video((1, 8, 48, 48, 3), 0)
  other = video.copy()
  other[:, 2:4] += 1  # the second tubelet of time
  (space, time), (space_too, time_too) = jax.jit(run)(video), jax.jit(run)(other)
  moved = np.abs(space - space_too).max(axis=(1, 2))  # (T',)
  assert moved[1] > 0.1 and not moved[[0, 2, 3]].any()
  assert (np.abs(time - time_too).max(axis=(0, 2)) > 1e-3).all()  # (1 + T',)
