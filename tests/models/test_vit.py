"""Vision transformers of frames: each frame by itself, any resolution, all layouts of the same weights."""
import functools
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import drawn
from tests.golden import check, weights
from vft import convert, trees
from vft.convert import rules
from vft.convert import vit as layouts
from vft.errors import ConfigError, WeightsError
from vft.models import make

GOLDEN = {"tiny": "vit_dinov2", "reg_tiny": "vit_dinov2_reg", "clip_tiny": "vit_clip", "siglip_tiny": "vit_siglip"}


@functools.cache
def foreign(variant):
  """Seeded arrays under the original's names; they are made for 32 x 32 pixels, 4 x 4 patches."""
  about, _ = check.read(Path(check.__file__).parent / f"{GOLDEN[variant]}.npz")
  return weights.make_weights({name: tuple(shape) for name, shape in about["shapes"]}, about["seed"])


def clip(*shape, seed=0):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def loaded(variant, folder, height, width, **fields):
  model = make("vit", variant=variant, num_classes=3, **fields)
  save_file(foreign(variant), folder / "original.safetensors")
  first = drawn.variables(model, clip(1, 2, height, width, 3))
  return model, *convert.load(first, str(folder / "original.safetensors"), model=model, keep_init=("head/.*",))


@pytest.mark.parametrize("variant", GOLDEN)
def test_loading_at_another_resolution_changes_the_positions_only(variant, tmp_path):
  _, same, report = loaded(variant, tmp_path, 32, 32)
  assert not report.resized
  kept = trees.flatten(same["params"])
  positions = next(a for n, a in foreign(variant).items() if "position_embedding" in n).reshape(-1, 32)
  np.testing.assert_array_equal(kept["embed/pos_space"], positions[-16:].reshape(4, 4, 32))
  model, other, report = loaded(variant, tmp_path, 48, 40)
  assert report.resized == [("embed/pos_space", (4, 4, 32))]
  params = trees.flatten(other["params"])
  assert params["embed/pos_space"].shape == (6, 5, 32)
  for name in kept:
    if name != "embed/pos_space":
      np.testing.assert_array_equal(params[name], kept[name], err_msg=name)
  assert np.isfinite(jax.jit(model.apply)(other, clip(1, 2, 48, 40, 3))["label"]).all()


@pytest.mark.parametrize("variant", GOLDEN)
def test_a_frame_has_a_token_and_patches_of_its_own(variant, tmp_path):
  model, variables, _ = loaded(variant, tmp_path, 32, 24)
  run = jax.jit(lambda video: model.apply(variables, video, method="features")[0])
  video = clip(2, 3, 32, 24, 3)
  tokens = run(video)
  assert tokens.shape == (2, 3 + 3 * 12, 32)
  for t in range(3):
    alone = run(video[:, t:t + 1])
    np.testing.assert_allclose(tokens[:, t], alone[:, 0], atol=1e-5)
    np.testing.assert_allclose(tokens[:, 3 + 12 * t:15 + 12 * t], alone[:, 1:], atol=1e-5)


@pytest.mark.parametrize("variant", GOLDEN)
def test_patches_are_the_last_tokens_of_the_normalised_ones_without_registers(variant, tmp_path):
  model, variables, _ = loaded(variant, tmp_path, 32, 24)
  tokens, state = jax.jit(lambda video: model.apply(
      variables, video, method="features", capture_intermediates=lambda m, _: m.name == "norm" and len(m.path) == 1,
      mutable="intermediates"))(clip(2, 3, 32, 24, 3))
  normalised = np.asarray(state["intermediates"]["norm"]["__call__"][0])
  extra = {"tiny": 1, "reg_tiny": 5, "clip_tiny": 1, "siglip_tiny": 0}[variant]
  assert normalised.shape == (6, extra + 12, 32)
  np.testing.assert_array_equal(tokens[0][:, 3:], normalised[:, extra:].reshape(2, 36, 32))
  if extra:
    np.testing.assert_array_equal(tokens[0][:, :3], normalised[:, 0].reshape(2, 3, 32))


@pytest.mark.parametrize("variant", GOLDEN)
def test_cls_mean_joins_the_frames_token_and_the_mean_of_its_patches(variant, tmp_path):
  model, variables, _ = loaded(variant, tmp_path, 32, 32, pool="cls_mean")
  video = clip(2, 3, 32, 32, 3)
  tokens, grid = jax.jit(lambda video: model.apply(variables, video, method="features"))(video)
  tokens, head = np.asarray(tokens), variables["params"]["head"]["label"]
  frames = np.concatenate([tokens[:, :3], tokens[:, 3:].reshape(2, 3, 16, 32).mean(2)], axis=-1)
  want = (frames @ head["kernel"] + np.asarray(head["bias"]).reshape(1, 1, -1)).mean(1)
  assert tuple(grid) == (3, 4, 4) and head["kernel"].shape == (64, 3)
  np.testing.assert_allclose(jax.jit(model.apply)(variables, video)["label"], want, atol=1e-5)


def in_files_of_transformers(arrays):
  words = {"q": "attention.query", "k": "attention.key", "v": "attention.value", "o": "output.dense"}
  return {re.sub(r"([qkvo])_proj", lambda m: words[m[1]], name): a for name, a in arrays.items()}


def in_files_of_facebookresearch(arrays, block="blocks."):
  out = {}
  for name, array in arrays.items():
    for old, new in (("dinov2.", ""), ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
                     ("embeddings.position_embeddings", "pos_embed"), ("embeddings.", ""), ("encoder.layer.", block),
                     ("layer_scale", "ls"), ("lambda1", "gamma"), ("attention.o_proj", "attn.proj"),
                     ("layernorm", "norm")):
      name = name.replace(old, new)
    if "attention.q_proj" in name:
      array = np.concatenate([arrays[f"dinov2.encoder.layer.{name.split('.')[-4]}.attention.{x}_proj."
                                     f"{name.split('.')[-1]}"] for x in "qkv"])
      name = name.replace("attention.q_proj", "attn.qkv")
    if "attention." not in name:
      out[name] = array
  return out


@pytest.mark.parametrize("other", [in_files_of_transformers, in_files_of_facebookresearch,
                                   functools.partial(in_files_of_facebookresearch, block="module.backbone.blocks.0.")])
def test_all_layouts_of_dinov2_are_the_same_arrays(other):
  want, _ = rules.apply(foreign("tiny"), layouts.RULES)
  renamed = other(foreign("tiny"))
  assert set(renamed).isdisjoint(n for n in foreign("tiny") if "q_proj" in n)
  have, unknown = rules.apply(renamed, layouts.RULES)
  assert not unknown and set(have) == set(want)
  for name in want:
    np.testing.assert_array_equal(have[name], want[name], err_msg=name)


@pytest.mark.parametrize("variant", ["clip_tiny", "siglip_tiny"])
def test_the_towers_prefix_and_the_rest_of_the_file_do_not_matter(variant):
  arrays = foreign(variant)
  bare = {name.removeprefix("vision_model."): a for name, a in arrays.items()}
  rest = ("text_model.encoder.layers.0.mlp.fc1.weight", "text_model.final_layer_norm.weight", "text_projection.weight",
          "visual_projection.weight", "logit_scale", "logit_bias", "vision_model.embeddings.position_ids")
  want, _ = rules.apply(arrays, layouts.RULES)
  have, unknown = rules.apply({**bare, **{name: np.zeros((2, 2)) for name in rest}}, layouts.RULES)
  assert not unknown and set(have) == set(want)
  assert all((have[name] == want[name]).all() for name in want)


def test_positions_that_are_no_square_are_refused():
  with pytest.raises(WeightsError, match=r"pos_embed has the shape \(1, 7, 8\)"):
    rules.apply({"pos_embed": np.zeros((1, 7, 8), np.float32)}, layouts.RULES)


def test_a_rest_of_pixels_is_left_out_and_less_than_a_patch_is_an_error():
  model = make("vit", variant="tiny", num_classes=3)
  video = clip(1, 2, 37, 31, 3)
  variables = drawn.variables(model, video)
  run = jax.jit(model.apply)
  np.testing.assert_array_equal(run(variables, video)["label"], run(variables, video[:, :, :32, :24])["label"])
  with pytest.raises(ConfigError, match="7 x 31 hold no patch of 8 x 8"):
    jax.eval_shape(model.init, jax.random.key(0), video[:, :, :7])


def test_statistics_are_those_of_the_publication():
  assert make("vit", num_classes=2).mean == (0.485, 0.456, 0.406)
  assert make("vit", variant="clip_b32", num_classes=2).std == (0.26862954, 0.26130258, 0.27577711)
  assert make("vit", variant="siglip_b16", num_classes=2).mean == (0.5, 0.5, 0.5)
