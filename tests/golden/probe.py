"""V-JEPA 2's attentive probe: transformers' names -> ours, and how far ours is from it."""
import json
from collections.abc import Mapping

import jax
import numpy as np

from tests.golden import weights
from vft import trees
from vft.convert import rules
from vft.models import temporal

CROSS, BLOCK = r"cross_attention_layer\.", r"self_attention_layers\.(\d+)\."
RULES = (
    ("query_tokens", "query", rules.same),
    *rules.torch_norm(CROSS + r"layer_norm(\d)", r"cross/norm\1"),
    *rules.torch_layer(CROSS + r"cross_attn\.([qkv])_proj", r"cross/attention/\1"),
    *rules.torch_layer(CROSS + r"mlp\.(fc\d)", r"cross/mlp/\1"),
    *rules.torch_norm(BLOCK + r"layer_norm(\d)", r"block_\1/norm\2"),
    *rules.torch_layer(BLOCK + r"self_attn\.(q|k|v|out)_proj", r"block_\1/attention/\2"),
    *rules.torch_layer(BLOCK + r"mlp\.(fc\d)", r"block_\1/mlp/\2"),
)


def compare(golden: Mapping[str, np.ndarray]) -> dict[str, float]:
  """{output: largest difference / largest value} of pooled tokens (B, D) and the gradient of their sum."""
  about = json.loads(str(golden["about"]))
  seeded = weights.make_weights({name: tuple(shape) for name, shape in about["shapes"]}, about["depth"])
  arrays, unknown = rules.apply(seeded, RULES)
  pooler = temporal.AttentivePooler(about["depth"], epsilon=1e-6)  # the port's; the authors' code has 1e-5
  x = weights.make_video(tuple(about["tokens"]), about["depth"])
  wanted = trees.flatten(jax.eval_shape(pooler.init, jax.random.key(0), x)["params"])
  assert not unknown and {n: a.shape for n, a in arrays.items()} == {n: a.shape for n, a in wanted.items()}
  pooled, back = jax.vjp(lambda x: pooler.apply({"params": trees.unflatten(arrays)}, x), x)
  got = {"pooled": pooled, "gradient": back(np.ones(pooled.shape, np.float32))[0]}
  return {name: float(np.abs(a - golden[name]).max() / np.abs(golden[name]).max()) for name, a in got.items()}
