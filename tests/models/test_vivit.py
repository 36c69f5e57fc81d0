"""ViViT: the layouts of its files, other clips and tubelets than the published ones, and a start from an image ViT."""
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import drawn
from tests.golden import check, weights
from vft import convert
from vft.convert import vivit
from vft.models import make

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "vivit.npz")[0][
    "shapes"]}  # of transformers 5 in memory, tiny: 4 frames of 48 x 48
HEADS = 4
IN_FILES = (  # in memory, in a published file
    ("layers.", "encoder.layer."),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
)
SCENIC = (
    ("vivit.embeddings.patch_embeddings.projection", "embedding"),
    ("vivit.embeddings.cls_token", "cls"),
    ("vivit.embeddings.position_embeddings", "Transformer/posembed_input/pos_embedding"),
    ("vivit.layers.", "Transformer/encoderblock_"),
    ("vivit.layernorm", "Transformer/encoder_norm"),
    ("layernorm_before", "LayerNorm_0"),
    ("layernorm_after", "LayerNorm_1"),
    ("mlp.fc1", "MlpBlock_0/Dense_0"),
    ("mlp.fc2", "MlpBlock_0/Dense_1"),
    ("attention.q_proj", "MultiHeadDotProductAttention_0/query"),
    ("attention.k_proj", "MultiHeadDotProductAttention_0/key"),
    ("attention.v_proj", "MultiHeadDotProductAttention_0/value"),
    ("attention.o_proj", "MultiHeadDotProductAttention_0/out"),
    ("classifier", "output_projection"),
)


def renamed(name, table):
  for old, new in table:
    name = name.replace(old, new)
  return name


def scenic(name, array):
  """An array of transformers as Scenic stores it: kernels (I, O), attention's with an axis of heads."""
  parts = renamed(name, SCENIC).replace(".", "/").split("/")
  if parts[-1] == "weight":
    parts[-1] = "kernel" if array.ndim > 1 else "scale"
    array = np.moveaxis(array, (0, 1), (-1, -2)) if array.ndim > 1 else array
  if len(parts) > 1 and parts[-2] in ("query", "key", "value"):
    array = array.reshape(*array.shape[:-1], HEADS, -1)
  elif parts[-2:] == ["out", "kernel"]:
    array = array.reshape(HEADS, -1, array.shape[-1])
  return "/".join(parts), np.ascontiguousarray(array)


def seeded(shapes=SHAPES):
  return weights.make_weights(shapes, 0)


def load(path, arrays, shape=(1, 4, 48, 48, 3), keep_init=(), **options):
  """Model, variables and report, at the clip's shape."""
  save_file(arrays, path)
  model = make("vivit", variant="tiny", num_classes=5, **options)
  variables = drawn.variables(model, np.zeros(shape, np.float32))
  return model, *convert.load(variables, str(path), model=model, keep_init=keep_init)


def embedded(model, variables, video):
  """Tokens (N, D) of the first block."""
  _, state = model.apply(variables, video, method="features", mutable="intermediates",
                         capture_intermediates=lambda m, _: m.name == "embed")
  return np.asarray(state["intermediates"]["embed"]["__call__"][0][0][0])


def test_files_of_transformers_and_of_scenic_give_the_same_variables(tmp_path):
  _, want, report = load(tmp_path / "a.safetensors", seeded())
  assert not report.resized and not report.unused and not report.left_at_init
  layouts = [{renamed(name, IN_FILES): array for name, array in seeded().items()}]
  assert "vivit.encoder.layer.0.attention.attention.query.weight" in layouts[0]
  for prefix in ("optimizer/target/", "params/", ""):
    pairs = [scenic(name, array) for name, array in seeded().items()]
    layouts.append({prefix + name: array for name, array in pairs})
    assert prefix + "Transformer/encoderblock_0/MultiHeadDotProductAttention_0/query/kernel" in layouts[-1]
  for file in layouts:
    _, got, report = load(tmp_path / "b.safetensors", file)
    assert not report.unused
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("shape, tubelet, resized", [
    ((1, 8, 64, 80, 3), 2, {"embed/pos_joint"}),
    ((1, 8, 48, 48, 3), 4, {"embed/kernel"}),
    ((1, 5, 48, 48, 3), 1, {"embed/kernel", "embed/pos_joint"}),
])
def test_other_clips_and_tubelets_interpolate_what_they_change(tmp_path, shape, tubelet, resized):
  model, variables, report = load(tmp_path / "a.safetensors", seeded(), shape, tubelet=tubelet)
  assert {name for name, _ in report.resized} == resized
  _, same, _ = load(tmp_path / "a.safetensors", seeded())
  kernel, published = variables["params"]["embed"]["kernel"], same["params"]["embed"]["kernel"]
  np.testing.assert_allclose(kernel.sum(0), published.sum(0), atol=1e-5)  # equal frames give the equal tokens
  grid = (shape[1] // tubelet, shape[2] // 16, shape[3] // 16)
  assert variables["params"]["embed"]["pos_joint"].shape == (*grid, 32)
  assert np.isfinite(jax.jit(model.apply)(variables, weights.make_video(shape, 0))["label"]).all()


@pytest.mark.parametrize("number, grid", [(16 * 14 * 14, (16, 14, 14)), (4 * 14 * 14, (4, 14, 14)), (18, (2, 3, 3)),
                                          (7, (7, 1, 1))])
def test_the_grid_is_found_from_the_number_of_positions(number, grid):
  array = np.arange(number + 1, dtype=np.float32).reshape(1, -1, 1)
  token, joint = vivit.positions(array)
  assert token.shape == (1,) and joint.shape == (*grid, 1)
  np.testing.assert_array_equal(joint.reshape(-1), array[0, 1:, 0])


def test_a_wrong_guess_of_the_grid_is_set_right_by_the_model(tmp_path):
  shapes = {**SHAPES, "vivit.embeddings.position_embeddings": (1, 1 + 2 * 2 * 4, 32)}
  arrays = seeded(shapes)
  _, variables, _ = load(tmp_path / "a.safetensors", arrays, (1, 4, 32, 64, 3))
  joint = variables["params"]["embed"]["pos_joint"]
  assert joint.shape == (2, 2, 4, 32)
  np.testing.assert_array_equal(joint.reshape(16, 32), arrays["vivit.embeddings.position_embeddings"][0, 1:])


def test_an_image_vit_starts_a_video_model_that_sees_a_still_clip_as_the_image(tmp_path):
  shapes = {name.replace("vivit.", "vit."): shape for name, shape in SHAPES.items() if "classifier" not in name}
  shapes |= {"vit.embeddings.patch_embeddings.projection.weight": (32, 3, 16, 16),
             "vit.embeddings.position_embeddings": (1, 1 + 9, 32)}
  _, image, _ = load(tmp_path / "a.safetensors", seeded(shapes), (1, 1, 48, 48, 3), ("head/.*",), tubelet=1)
  frame = weights.make_video((1, 1, 48, 48, 3), 0)
  want = embedded(make("vivit", variant="tiny", num_classes=5, tubelet=1), image, frame)
  for tubelet in (2, 4):
    model, video, report = load(tmp_path / "a.safetensors", seeded(shapes), (1, 8, 48, 48, 3), ("head/.*",),
                                tubelet=tubelet)
    assert {name for name, _ in report.resized} == {"embed/kernel", "embed/pos_joint"}
    kernel = seeded(shapes)["vit.embeddings.patch_embeddings.projection.weight"]  # (D, C, h, w)
    np.testing.assert_allclose(video["params"]["embed"]["kernel"].sum(0), kernel.transpose(2, 3, 1, 0), atol=1e-6)
    got = embedded(model, video, np.repeat(frame, 8, axis=1))
    np.testing.assert_allclose(got[0], want[0], atol=1e-5)
    for piece in np.split(got[1:], 8 // tubelet):
      np.testing.assert_allclose(piece, want[1:], atol=1e-5)
