"""VideoPrism as its authors have it: PYTHONPATH=.:(a clone of github.com/google-deepmind/videoprism), einops, einshape.

They publish the encoder alone; a linear classifier on the mean token stands in for the rest. The small one caps scores
of attention at 1, so that the cap counts.
"""
import importlib

import jax
import jax.numpy as jnp

from tests.golden.flax_module import FlaxModule
from tests.golden.make import Original
from vft import trees

TINY = dict(patch_size=16, pos_emb_shape=(4, 3, 3), model_dim=128, num_spatial_layers=2, num_temporal_layers=1,
            num_heads=2, mlp_dim=512, atten_logit_cap=1.0)
BASE = dict(patch_size=18, pos_emb_shape=(16, 16, 16), model_dim=768, num_spatial_layers=12, num_temporal_layers=4,
            num_heads=12, mlp_dim=3072, atten_logit_cap=50.0)  # as in videoprism/models.py


def build(full: bool) -> Original:
  size, video, classes = (BASE, (1, 16, 288, 288, 3), 400) if full else (TINY, (1, 4, 48, 48, 3), 5)
  module = importlib.import_module("videoprism.encoders").FactorizedEncoder(**size, scan=True)

  def run(arrays, video):
    tree = trees.unflatten(arrays)
    head = tree["params"].pop("head")
    tokens, seen = module.apply(tree, video, return_intermediate=("spatial_features",))
    return tokens.mean(axis=1) @ head["kernel"] + head["bias"], seen["spatial_features"]
  shapes = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(video)))
  named = {name: leaf.shape for name, leaf in trees.flatten(shapes).items()}
  named |= {"params/head/kernel": (size["model_dim"], classes), "params/head/bias": (classes,)}
  model, flax = dict(name="videoprism", variant="B" if full else "tiny", num_classes=classes), FlaxModule(run, named)
  return Original(flax, flax, video, model, "norm", "params/patch_projection/linear/kernel",
                  "google-deepmind/videoprism d481d91b")
