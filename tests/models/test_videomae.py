"""VideoMAE: every known layout of weights, and other clips and tubelets than the published ones."""
import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert, trees
from vft.errors import ConfigError, WeightsError
from vft.models import make
from vft.models.videomae import positions

GOLDEN = Path(check.__file__).parent
CLIP = (1, 4, 32, 32, 3)


def seeded(name="videomae"):
  """Arrays of the golden file, under the names that its original has."""
  about, _ = check.read(GOLDEN / f"{name}.npz")
  return weights.make_weights({n: tuple(shape) for n, shape in about["shapes"]}, about["seed"])


@functools.cache
def shapes(clip=CLIP, **options):
  model = make("videomae", variant="tiny", num_classes=5, head="original", **options)
  return model, jax.eval_shape(model.init, jax.random.key(0), np.zeros(clip, np.float32))


def load(arrays, folder, clip=CLIP, keep_init=(), **options):
  save_file({n: np.ascontiguousarray(a) for n, a in arrays.items()}, folder / "w.safetensors")
  model, empty = shapes(clip, **options)
  loaded, report = convert.load(empty, str(folder / "w.safetensors"), model=model, keep_init=keep_init)
  return model, loaded, report


def run(model, loaded, clip=CLIP):
  video = np.random.default_rng(0).normal(size=clip).astype(np.float32)
  return np.asarray(jax.jit(model.apply)(loaded, video)["label"])


def same(a, b):
  a, b = trees.flatten(a), trees.flatten(b)
  assert list(a) == list(b)
  for name in a:
    np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def as_published(arrays):
  """transformers' names -> those of the published code."""
  pairs = (("videomae.embeddings.patch_embeddings.projection", "patch_embed.proj"), ("layernorm_before", "norm1"),
           ("videomae.encoder.layer", "blocks"), ("layernorm_after", "norm2"), ("attention.output.dense", "attn.proj"),
           ("intermediate.dense", "mlp.fc1"), ("output.dense", "mlp.fc2"), ("classifier", "head"),
           ("attention.attention.query.bias", "attn.q_bias"), ("attention.attention.value.bias", "attn.v_bias"))
  out = {}
  for name, array in arrays.items():
    for theirs, published in pairs:
      name = name.replace(theirs, published)
    if name.endswith("query.weight"):
      rest = [arrays[n] for n in arrays if re.fullmatch(rf"videomae.encoder.layer.{name[7]}.*(key|value).weight", n)]
      out[f"blocks.{name[7]}.attn.qkv.weight"] = np.concatenate([array, *rest])
    elif not name.endswith(("key.weight", "value.weight")):
      out[name] = array
  return out


def test_older_files_of_transformers_give_the_same_arrays(tmp_path):
  new = seeded()
  old = {re.sub(r"(query|value)\.bias", lambda m: f"{m[1][0]}_bias", name): a for name, a in new.items()}
  assert sum(name.endswith("attention.attention.q_bias") for name in old) == 2
  same(load(new, tmp_path)[1], load(old, tmp_path)[1])


@pytest.mark.parametrize("prefix", ["", "module/", "model/", "model.", "module.", "module/module.", "backbone."])
def test_files_of_the_published_code_give_the_same_arrays(tmp_path, prefix):
  new = seeded()
  published = as_published(new)
  assert published.keys() == seeded("videomae_published").keys()
  _, loaded, report = load({prefix + name: a for name, a in published.items()}, tmp_path)
  same(loaded, load(new, tmp_path)[1])
  assert not report.unused


@pytest.mark.parametrize("layout", ["published", "transformers"])
def test_self_supervised_files_lose_their_decoder_and_keep_their_norm_if_asked(tmp_path, layout):
  arrays = seeded() if layout == "transformers" else as_published(seeded())
  arrays = {n: a for n, a in arrays.items() if not n.startswith(("classifier", "head"))}
  kept = {"decoder.norm.weight": np.ones(8, np.float32), "encoder_to_decoder.weight": np.ones((8, 32), np.float32),
          "mask_token": np.ones((1, 1, 8), np.float32)}
  if layout == "transformers":
    kept["decoder.decoder_layers.0.layernorm_before.weight"] = np.ones(8, np.float32)
    arrays = {n.replace("fc_norm", "videomae.layernorm"): a for n, a in arrays.items()} | kept
  else:
    kept["decoder.blocks.0.norm1.weight"] = np.ones(8, np.float32)
    arrays = {f"model/encoder.{n.replace('fc_norm', 'norm')}": a for n, a in arrays.items()}
    arrays |= {f"model/{n}": a for n, a in kept.items()}
  with pytest.raises(WeightsError, match=r"100\.0 % of the trunk(.|\n)*'head/\.\*' to init\.keep_init"):
    load(arrays, tmp_path)
  _, loaded, report = load(arrays, tmp_path, keep_init=("head/label/.*",))
  assert not report.unused and len(report.left_at_init) == 2
  np.testing.assert_array_equal(loaded["params"]["head"]["norm"]["scale"], seeded()["fc_norm.weight"])
  _, _, report = load(arrays, tmp_path, keep_init=("head/.*",))
  assert len(report.left_at_init) == 4 and len(report.unused) == 2


@pytest.mark.parametrize("clip", [(1, 8, 32, 32, 3), (1, 4, 48, 64, 3), (1, 2, 32, 32, 3), (1, 4, 16, 16, 3)])
def test_other_clips_need_no_other_weights(tmp_path, clip):
  model, loaded, report = load(seeded(), tmp_path, clip)
  assert not report.resized
  logits = run(model, loaded, clip)
  assert np.isfinite(logits).all() and logits.shape == (1, 5)


@pytest.mark.parametrize("tubelet", [1, 4])
def test_another_tubelet_keeps_the_response_to_a_still_video(tmp_path, tubelet):
  model, loaded, report = load(seeded(), tmp_path, tubelet=tubelet)
  assert report.resized == [("embed/kernel", (2, 16, 16, 3, 32))]
  kernel = loaded["params"]["embed"]["kernel"]
  np.testing.assert_allclose(kernel.sum(0), load(seeded(), tmp_path)[1]["params"]["embed"]["kernel"].sum(0), atol=1e-6)
  tokens = jax.eval_shape(lambda x: model.apply(loaded, x, method="features")[0], np.zeros(CLIP, np.float32))
  assert tokens.shape == (1, 4 // tubelet * 2 * 2, 32) and np.isfinite(run(model, loaded)).all()


def test_the_published_tubelet_asked_for_by_name_changes_nothing(tmp_path):
  plain, asked = load(seeded(), tmp_path), load(seeded(), tmp_path, tubelet=2)
  same(plain[1], asked[1])
  np.testing.assert_array_equal(run(*plain[:2]), run(*asked[:2]))


def test_positions_are_the_sinusoid_of_the_published_grid_and_linear_between_its_cells():
  published = positions((8, 14, 14), (8, 14, 14), 6)
  assert published.shape == (1, 1568, 6) and published.dtype == np.float32
  np.testing.assert_allclose(published[0, 300], [f(300 / 10000 ** (i / 3)) for i in range(3) for f in (np.sin, np.cos)],
                             atol=1e-7)
  longer = positions((8, 14, 14), (16, 14, 14), 6).reshape(16, 14, 14, 6)
  cells = published.reshape(8, 14, 14, 6)
  np.testing.assert_allclose(longer[1], 0.75 * cells[0] + 0.25 * cells[1], atol=1e-6)
  np.testing.assert_allclose(longer[0], cells[0], atol=1e-6)


def test_a_clip_shorter_than_a_tubelet_says_so():
  model, _ = shapes(tubelet=4)
  with pytest.raises(ConfigError, match=r"\(2, 32, 32\).*no tubelet of \(4, 16, 16\)"):
    jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 2, 32, 32, 3), np.float32))
