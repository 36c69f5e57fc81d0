"""Back to the original's names and shapes: what tests/golden says its implementation has, and what the reader reads."""
import re
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.golden import check, weights
from vft import convert, trees
from vft.convert import formats, registry, rules
from vft.errors import WeightsError
from vft.models import FAMILIES, make

FILES = {p.stem: p for p in sorted(Path(check.__file__).parent.glob("*.npz"))}
OTHERS = ("resnet_tsm", "vgg16_keras", "videomae_published")  # are written under the names of the first original
# transformers 5 names these in memory in another way than in its files; a mask is for self-supervision alone.
IN_FILES = ((r"(vit_dinov2.*)\|dinov2(?:_with_registers)?\.", r"\1|"), (r"attention\.o_proj", "attention.output.dense"),
            (r"(vit_dinov2.*attention|vivit.*attention)\.q_proj", r"\1.attention.query"),
            (r"(vit_dinov2.*attention|vivit.*attention)\.k_proj", r"\1.attention.key"),
            (r"(vit_dinov2.*attention|vivit.*attention)\.v_proj", r"\1.attention.value"),
            (r"(vivit.*)\.layers\.", r"\1.encoder.layer."), (r"(vivit.*)mlp\.fc1", r"\1intermediate.dense"),
            (r"(vivit.*)mlp\.fc2", r"\1output.dense"), (r"(videomae\|.*)\.(q|v)(?:uery|alue)\.bias", r"\1.\2_bias"))


def in_file(stem, name):
  name = f"{stem}|{name}"
  for pattern, other in IN_FILES:
    name = re.sub(pattern, other, name)
  return name.split("|")[1]


@pytest.mark.parametrize("stem", FILES)
def test_names_shapes_and_bits_are_those_of_the_original(stem):
  about, _ = check.read(FILES[stem])
  family = about["model"]["name"]
  theirs = weights.make_weights({name: tuple(shape) for name, shape in about["shapes"]}, about["seed"])
  ours, _ = rules.apply(theirs, convert.RULES[family])
  back, left = convert.to_original(family, ours)
  assert left == (["head/hidden_00/kernel"] if stem == "vgg16_keras" else [])  # 2 x 2 pixels, not 7 x 7
  again, unknown = rules.apply(back, (*convert.RULES[family], convert.KEPT))
  assert not unknown and again.keys() == ours.keys()
  for name, array in ours.items():
    np.testing.assert_array_equal(again[name], array, strict=True)
  if stem not in OTHERS:
    unkept = ("mask_token", "time_encoder.pe")  # the second is a table of sines, which no model of ours holds
    want = {in_file(stem, name): array for name, array in theirs.items() if not name.endswith(unkept)}
    assert back.keys() == want.keys()
    for name, array in want.items():
      np.testing.assert_array_equal(back[name], array, strict=True)


def test_i3d_is_the_file_of_its_package_again():
  theirs = formats.read(registry.find("i3d_k400")[0]).arrays
  ours, _ = rules.apply(theirs, convert.RULES["i3d"])
  back, left = convert.to_original("i3d", ours)
  assert back.keys() == theirs.keys() and not left
  assert all(np.array_equal(back[name], theirs[name]) for name in theirs)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_with_a_head_of_its_own_is_read_back_bit_for_bit(name, tmp_path):
  model = make(name, variant="tiny", tasks={"grade": 3, "label": 2}, head="mlp", hidden=(4,))
  video, rng = np.zeros((1, 4, 32, 32, 3), np.float32), np.random.default_rng(0)
  shapes = {"batch_stats": {}, **jax.eval_shape(model.init, jax.random.key(0), video)}
  flat = {k: x.shape for tree in shapes.values() for k, x in trees.flatten(tree).items()}
  arrays = {k: rng.normal(size=shape).astype(np.float32) for k, shape in flat.items()}
  back, left = convert.to_original(name, arrays)
  own = "hidden_00" if name == "panecho" else "grade"  # its original has a layer for every task
  assert all(kept.startswith("head/") for kept in left) and f"head/{own}/kernel" in left
  save_file(back, tmp_path / "model.safetensors")
  loaded, report = convert.load(shapes, str(tmp_path / "model.safetensors"), model=model)
  assert not report.left_at_init and not report.unused
  found = {k: x for t in loaded.values() for k, x in trees.flatten(t).items()}
  assert found.keys() == arrays.keys() and all(np.array_equal(found[k], arrays[k]) for k in arrays)


def test_arrays_that_no_original_has_are_an_error():
  with pytest.raises(WeightsError, match=r"(?s)2 arrays have no name in the original of i3d: conv_9z/a, b\..*=vft"):
    convert.to_original("i3d", {"conv_9z/a": np.zeros(2), "b": np.zeros(2), "head/label/bias": np.zeros(2)})
