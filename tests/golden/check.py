"""An original's outputs against ours: logits, a mid-network feature, two gradients, as shares of the largest value."""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from tests.golden import weights
from vft import convert, trees
from vft.models import make

LIMIT = 1e-4
OUTPUTS = ("logits", "mid", "input_gradient", "kernel_gradient")


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
  """What a golden file holds: its description and the original's outputs."""
  with np.load(path) as file:
    return json.loads(str(file["about"])), {name: file[name] for name in OUTPUTS}


def compare(about: Mapping[str, Any], want: Mapping[str, np.ndarray], folder: Path,
            dtype: str = "float32") -> dict[str, float]:
  """{output: largest difference / largest value}. Rebuilds the weights, writes them as a file, converts, runs."""
  shapes = {name: tuple(shape) for name, shape in about["shapes"]}
  save_file(weights.make_weights(shapes, about["seed"]), folder / "original.safetensors")
  model = make(head="original", **about["model"]).clone(dtype=jax.numpy.dtype(dtype))
  video = weights.make_video(tuple(about["video"]), about["seed"]).astype(dtype)
  empty = jax.eval_shape(model.init, jax.random.key(0), video)
  loaded, report = convert.load({"batch_stats": {}, **empty}, str(folder / "original.safetensors"), model=model)
  assert not report.resized and not report.left_at_init, report
  loaded = jax.tree.map(lambda a: a.astype(dtype), loaded)
  params, stats, kernel = trees.flatten(loaded["params"]), loaded["batch_stats"], about["kernel"]

  @jax.jit
  def run(video, first, rest):
    def total(video, first):
      logits, state = model.apply({"params": trees.unflatten({**rest, kernel: first}), "batch_stats": stats}, video,
                                  capture_intermediates=lambda m, _: m.name == about["mid"], mutable="intermediates")
      mid = jax.tree.leaves(state["intermediates"][about["mid"]]["__call__"])  # one array, or one of each path
      return logits["label"].sum(), (logits["label"], jnp.concatenate([x.reshape(-1) for x in mid]))
    (_, (logits, mid)), gradients = jax.value_and_grad(total, (0, 1), has_aux=True)(video, first)
    return logits, mid, *gradients
  got = run(video, params[kernel], {n: a for n, a in params.items() if n != kernel})
  out = {}
  for name, values in zip(OUTPUTS, got, strict=True):
    assert weights.sample(values).shape == want[name].shape, f"{name}: {values.shape}, original {want[name].shape}"
    out[name] = float(np.abs(weights.sample(values) - want[name]).max() / np.abs(want[name]).max())
  return out
