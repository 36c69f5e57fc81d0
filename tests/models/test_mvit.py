"""MViTv2: the layouts of its files, other clips than the published, and what pooled attention and its positions are."""
import functools

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy import special

from tests.golden import check, weights
from vft import convert, trees
from vft.models import make, mvit

SHAPES = {name: tuple(shape) for name, shape in check.read(check.Path(check.__file__).parent / "mvit.npz")[0][
    "shapes"]}  # of torchvision, tiny: 4 frames of 32 x 32
SLOWFAST = (
    ("conv_proj", "patch_embed.proj"),
    ("pos_encoding.class_token", "cls_token"),
    (".pool.weight", ".weight"),
    ("pool_q.norm_act.0", "norm_q"),
    ("pool_k.norm_act.0", "norm_k"),
    ("pool_v.norm_act.0", "norm_v"),
    (".attn.project.0", ".attn.proj"),
    (".project", ".proj"),
    ("mlp.0", "mlp.fc1"),
    ("mlp.3", "mlp.fc2"),
    ("head.1", "head.projection"),
)


def slowfast(name):
  for ours, theirs in SLOWFAST:
    name = name.replace(ours, theirs)
  return "model_state/" + name


def load(path, arrays, shape=(1, 4, 32, 32, 3), variant="tiny", classes=5, keep_init=()):
  """Variables and report, at the clip's shape."""
  save_file(arrays, path)
  model = make("mvit", variant=variant, num_classes=classes)
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros(shape, np.float32))
  return model, *convert.load({"batch_stats": {}, **empty}, str(path), model=model, keep_init=keep_init)


def test_slowfasts_names_give_the_same_variables(tmp_path):
  arrays = weights.make_weights(SHAPES, 0)
  _, want, _ = load(tmp_path / "a.safetensors", arrays)
  renamed = {slowfast(name): array[None, None] if name.endswith("class_token") else array
             for name, array in arrays.items()}
  assert {"model_state/blocks.1.attn.norm_q.weight", "model_state/blocks.1.proj.bias",
          "model_state/blocks.0.attn.pool_k.weight", "model_state/head.projection.weight"} <= renamed.keys()
  _, got, report = load(tmp_path / "b.safetensors", renamed)
  assert not report.unused and not report.resized
  jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize("shape", [(1, 6, 48, 64, 3), (1, 4, 32, 32, 1)])
def test_other_clips_interpolate_distances_alone_and_one_channel_the_kernel(tmp_path, shape):
  model, variables, report = load(tmp_path / "a.safetensors", weights.make_weights(SHAPES, 0), shape)
  resized = {name.rsplit("/", 1)[-1] for name, _ in report.resized}
  assert resized == ({"kernel"} if shape[-1] == 1 else {"pos_time", "pos_height", "pos_width"})
  if shape[-1] == 3:
    assert variables["params"]["block_00"]["pooled"]["pos_width"].shape == (2 * 16 - 1, 16)
  assert np.isfinite(jax.jit(model.apply)(variables, weights.make_video(shape, 0))["label"]).all()


def test_echoprimes_last_layer_is_its_embedding(tmp_path):
  shapes = {**SHAPES, "head.1.weight": (512, 32), "head.1.bias": (512,)}
  _, variables, report = load(tmp_path / "a.safetensors", weights.make_weights(shapes, 0), classes=512)
  assert variables["params"]["head"]["label"]["kernel"].shape == (32, 512) and not report.resized
  mean, std = make("mvit", variant="echoprime", num_classes=512).statistics("echoprime")
  np.testing.assert_allclose(np.array([mean, std])[:, 0] * 255, [29.110628, 47.989223])


@pytest.mark.long
@pytest.mark.parametrize("variant, clip, millions", [("S/16x4", (16, 224), 34.5), ("B/32x3", (32, 224), 51.2)])
def test_parameters_are_as_many_as_the_paper_says(variant, clip, millions):
  model = make("mvit", variant=variant, head="original")
  video = jax.ShapeDtypeStruct((1, clip[0], clip[1], clip[1], 3), np.float32)
  shapes = trees.flatten(jax.eval_shape(model.init, jax.random.key(0), video)["params"])
  assert round(sum(np.prod(x.shape) for x in shapes.values()) / 1e6, 1) == millions


@pytest.mark.parametrize("queries, keys", [(4, 4), (8, 2), (2, 8), (7, 7), (5, 2)])
def test_rows_of_distances_fall_with_the_key_and_rise_with_the_query(queries, keys):
  rows = mvit.apart(queries, keys)
  assert rows.shape == (queries, keys) and rows.min() == 0 and rows.max() < 2 * max(queries, keys) - 1
  assert (np.diff(rows, axis=0) > 0).all() and (np.diff(rows, axis=1) < 0).all()
  if queries == keys:
    assert (np.diagonal(rows) == queries - 1).all()


def test_attention_is_the_papers_with_every_distance_added_to_its_score():
  """Scores written out, against the products by which the module makes them."""
  layer = mvit.PooledAttention(2, 8, (2, 1), np.dtype("float32"))
  rng = np.random.default_rng(0)
  x = rng.normal(size=(1, 1 + 2 * 4 * 4, 4)).astype(np.float32)
  shapes = jax.eval_shape(functools.partial(layer.init, grid=(2, 4, 4)), jax.random.key(0), x)
  variables = jax.tree.map(lambda a: rng.normal(size=a.shape).astype(np.float32) / 2, shapes)
  def pooled(m, _):
    return m.name in ("pool_q", "pool_k", "pool_v", "out")
  got, state = jax.jit(lambda v, x: layer.apply(v, x, (2, 4, 4), capture_intermediates=pooled,
                                                mutable="intermediates"))(variables, x)
  pools, params = jax.tree.map(np.asarray, (state["intermediates"], variables["params"]))
  q, k, v = (pools[f"pool_{name}"]["__call__"][0][0] for name in "qkv")  # (N, heads, d)
  scores = np.einsum("nhd,mhd->hnm", q, k) / 2
  for i, (ti, hi, wi) in enumerate(np.ndindex(2, 2, 2)):
    for j, (tj, hj, wj) in enumerate(np.ndindex(2, 4, 4)):
      row = (params["pos_time"][ti - tj + 1] + params["pos_height"][2 * hi - hj + 3]
             + params["pos_width"][2 * wi - wj + 3])
      scores[:, 1 + i, 1 + j] += q[1 + i] @ row
  y = np.array(np.einsum("hnm,mhd->nhd", special.softmax(scores, axis=-1), v))
  y[1:] += q[1:]
  want = y.reshape(-1, 8) @ params["out"]["kernel"] + params["out"]["bias"]
  np.testing.assert_allclose(got[0], want, atol=1e-5)
