"""TimeSformer: the layouts of its files, other clips than the published ones, and what divided attention means."""
import functools

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import drawn
from tests.golden import check, weights
from vft import convert, trees
from vft.errors import ConfigError, WeightsError
from vft.models import make

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "timesformer.npz")[0][
    "shapes"]}  # of transformers, tiny: 4 frames of 48 x 48
ORIGINAL = (  # transformers' part of a name, that of facebookresearch/TimeSformer
    ("timesformer.", "model."),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.time_embeddings", "time_embed"),
    ("embeddings.", ""),
    ("encoder.layer.", "blocks."),
    ("temporal_attention.attention.", "temporal_attn."),
    ("temporal_attention.output.dense", "temporal_attn.proj"),
    ("temporal_layernorm", "temporal_norm1"),
    ("temporal_dense", "temporal_fc"),
    ("attention.attention.", "attn."),
    ("attention.output.dense", "attn.proj"),
    ("intermediate.dense", "mlp.fc1"),
    ("output.dense", "mlp.fc2"),
    ("layernorm_before", "norm1"),
    ("layernorm_after", "norm2"),
    ("layernorm", "norm"),
    ("classifier", "model.head"),
)


def original_name(name):
  for theirs, older in ORIGINAL:
    name = name.replace(theirs, older)
  return name


def seeded():
  return weights.make_weights(SHAPES, 0)


def load(path, arrays, shape=(1, 4, 48, 48, 3), keep_init=()):
  """Model, variables and report, at the clip's shape."""
  save_file(arrays, path)
  model = make("timesformer", variant="tiny", num_classes=5)
  variables = drawn.variables(model, np.zeros(shape, np.float32))
  return model, *convert.load(variables, str(path), model=model, keep_init=keep_init)


def assert_equal(ours, theirs):
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def test_the_layout_of_the_published_code_gives_the_same_variables(tmp_path):
  _, want, report = load(tmp_path / "a.safetensors", seeded())
  assert not report.resized and not report.unused and not report.left_at_init
  for prefix in ("", "model_state/", "module."):
    older = {prefix + original_name(name): array for name, array in seeded().items()}
    assert any(".blocks.0.temporal_attn.qkv.weight" in name for name in older)
    _, got, report = load(tmp_path / "b.safetensors", older)
    assert not report.unused
    assert_equal(got, want)


@pytest.mark.parametrize("prefix", ["teacher/backbone.", "teacher/module.backbone.", "backbone."])
def test_of_a_self_supervised_pair_the_teacher_is_taken_and_its_projection_dropped(tmp_path, prefix):
  trunk = {original_name(name).removeprefix("model."): array for name, array in seeded().items()
           if not name.startswith("classifier")}
  file = {prefix + name: array for name, array in trunk.items()}
  file |= {"teacher/head.mlp.0.weight": np.ones((8, 32), np.float32), "head.last_layer.weight_g": np.ones((8, 1))}
  file |= {f"student/module.backbone.{name}": -array for name, array in trunk.items()}
  _, got, report = load(tmp_path / "endo_fm.safetensors", file, keep_init=("head/.*",))
  assert not report.unused
  _, want, _ = load(tmp_path / "a.safetensors", seeded())
  assert_equal(*({n: a for n, a in trees.flatten(v["params"]).items() if n[:5] != "head/"} for v in (got, want)))


def test_other_clips_interpolate_the_positions_and_nothing_else(tmp_path):
  _, same, _ = load(tmp_path / "a.safetensors", seeded())
  model, variables, report = load(tmp_path / "a.safetensors", seeded(), (1, 6, 64, 80, 3))
  assert dict(report.resized) == {"embed/pos_space": (3, 3, 32), "embed/pos_time": (4, 32)}
  embed = variables["params"]["embed"]
  assert embed["pos_space"].shape == (4, 5, 32) and embed["pos_time"].shape == (6, 32)
  np.testing.assert_allclose(embed["pos_time"].mean(0), same["params"]["embed"]["pos_time"].mean(0), atol=0.1)
  video = weights.make_video((1, 6, 64, 80, 3), 0)
  assert np.isfinite(jax.jit(model.apply)(variables, video)["label"]).all()


def test_positions_that_are_no_square_are_an_error(tmp_path):
  broken = seeded()
  broken["timesformer.embeddings.position_embeddings"] = np.zeros((1, 9, 32), np.float32)
  with pytest.raises(WeightsError, match=r"position_embeddings has the shape \(1, 9, 32\)"):
    load(tmp_path / "a.safetensors", broken)


def test_a_patch_attends_to_its_place_in_time_and_then_to_its_frame():
  model = make("timesformer", variant="tiny", num_classes=2)
  video = weights.make_video((1, 3, 32, 48, 3), 0)
  variables = drawn.variables(model, video)
  flat = trees.flatten(variables["params"])
  in_space, in_time = (trees.unflatten({n: 0 * a if off in n else a for n, a in flat.items()})
                       for off in ("temporal_dense", "/attention/out"))

  @functools.partial(jax.jit, static_argnums=2)
  def run(params, video, name):
    _, state = model.apply({"params": params}, video, method="features", mutable="intermediates",
                           capture_intermediates=lambda m, _: m.name in ("embed", "block_00"))
    return jax.tree.leaves(state["intermediates"][name]["__call__"][0])[0]

  def moved(params, name):  # which tokens of 3 frames of 2 x 3 patches a change in one patch of frame 1 moves
    changed = video.copy()
    changed[:, 1, 16:, 32:] += 1
    difference = np.abs(run(params, changed, name) - run(params, video, name)).max(-1)[0] > 1e-6
    return difference[0], difference[1:].reshape(3, 6)
  token, patches = moved(variables["params"], "embed")
  assert not token and list(zip(*np.nonzero(patches), strict=True)) == [(1, 5)]
  token, patches = moved(in_space, "block_00")
  assert token and patches[1].all() and not patches[[0, 2]].any()
  token, patches = moved(in_time, "block_00")
  assert not token and patches[:, 5].all() and not patches[:, :5].any()
  token, patches = moved(variables["params"], "block_00")
  assert token and patches.all()  # time first, so within one block every token hears of it


def test_a_clip_without_a_patch_says_so():
  with pytest.raises(ConfigError, match=r"\(4, 8, 32\).*data.size"):
    jax.eval_shape(make("timesformer", variant="tiny", num_classes=2).init, jax.random.key(0),
                   np.zeros((1, 4, 8, 32, 3), np.float32))
