"""ViViT's factorised encoder as its authors have it: PYTHONPATH=.:(a clone of github.com/google-research/scenic).

That code is no package. It runs as it is; of TensorFlow it wants only the name of a module that reads files.
"""
import importlib
import sys
import types

import jax
import jax.numpy as jnp
from ml_collections import ConfigDict

from tests.golden.flax_module import FlaxModule
from tests.golden.make import Original
from vft import trees

TINY = dict(hidden_size=128, spatial_num_layers=2, temporal_num_layers=1, spatial_num_heads=2, temporal_num_heads=2,
            spatial_mlp_dim=512, temporal_mlp_dim=512, num_classes=5)
BASE = dict(hidden_size=768, spatial_num_layers=12, temporal_num_layers=4, spatial_num_heads=12, temporal_num_heads=12,
            spatial_mlp_dim=3072, temporal_mlp_dim=3072, num_classes=400)


def build(full: bool) -> Original:
  if "tensorflow" not in sys.modules:
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
    sys.modules["tensorflow.io"] = types.SimpleNamespace(gfile=None)
  scenic = importlib.import_module("scenic.projects.vivit.model")
  size, video = BASE if full else TINY, (1, 32, 224, 224, 3) if full else (1, 4, 48, 48, 3)
  module = scenic.SpaceTimeViViT(
      **size, patches=ConfigDict(dict(size=(16, 16, 2))), temporal_encoding_config=ConfigDict(dict(method="3d_conv")),
      attention_config=ConfigDict(dict(type="factorized_encoder")), dropout_rate=0.0, attention_dropout_rate=0.0,
      classifier="token")

  def run(arrays, video):
    logits, state = module.apply(trees.unflatten(arrays), video, train=False, mutable="intermediates",
                                 capture_intermediates=lambda m, _: m.name == "encoderblock_0")
    return logits, state["intermediates"]["TemporalTransformer"]["encoderblock_0"]["__call__"][0]
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(video), train=False))
  model = dict(name="vivit_fe", variant="B/16x2" if full else "tiny", num_classes=size["num_classes"])
  flax = FlaxModule(run, {name: leaf.shape for name, leaf in trees.flatten(shapes).items()})
  return Original(flax, flax, video, model, "time_block_00", "params/embedding/kernel",
                  "google-research/scenic 4a38d475")
