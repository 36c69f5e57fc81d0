"""VideoPrism as google-deepmind/videoprism writes it (npz; the arrays of all layers of a transformer in one) -> ours.

Names are those of videoprism/encoders.py; no published file was seen. Of the video-text models (`vision_encoder/`) the
encoder of the video is taken: their two further layers and the text are dropped. A classifier trained with the authors'
notebook keeps its encoder (`encoder/`); its pooler is not read. The authors interpolate positions linearly where the
clip is another one; here they are interpolated as everywhere (convert.surgery). No classifier is published: ours, on
the mean token, is written as `params/head`.
"""
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from vft.convert.rules import BACK, Rule, same, undone_by
from vft.convert.vivit import HEAD, bias_of_heads, to_heads

MOST = 40  # layers, as of the authors' largest
FLAX = r"params/(?:encoder/|vision_encoder/)*"


@undone_by(lambda array: array.reshape(-1, array.shape[-1]))
def patches(array: np.ndarray) -> np.ndarray:
  """(P * P * C, D) -> (P, P, C, D); only one of C = 3 and 1 gives a whole P."""
  for channels in (3, 1):
    side = math.isqrt(len(array) // channels)
    if side * side * channels == len(array):
      return array.reshape(side, side, channels, -1)
  raise ValueError("not of square patches")


@undone_by(lambda array: array.reshape(-1, array.shape[-1]))
def square(array: np.ndarray) -> np.ndarray:
  """(S * S, D) -> (S, S, D)."""
  side = math.isqrt(len(array))
  return array.reshape(side, side, -1)


@undone_by(lambda array: array.T.reshape(array.shape[-1], -1, HEAD))
def out_of_heads(array: np.ndarray) -> np.ndarray:
  """(D, heads, D / heads) of what comes after the heads -> (D, D), turned."""
  return array.reshape(len(array), -1).T


def stacked(of_layer: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], list[Any]]:
  """A transform of one layer's array -> one of the array of all layers, (L, ...) -> MOST arrays or None."""
  @undone_by(lambda parts: np.stack([BACK[of_layer](part) for part in parts if part is not None]))
  def layers(array: np.ndarray) -> list[Any]:
    return [of_layer(part) for part in array] + [None] * (MOST - len(array))
  return layers


def transformer(theirs: str, ours: str) -> list[Rule]:
  """Rules for the blocks and the last norm of one of the two; `ours` stands before the names of ours."""
  parts = [("layer_norm/" + x, "norm1/" + x, same) for x in ("scale", "bias")]
  parts += [("ff_layer/layer_norm/" + x, "norm2/" + x, same) for x in ("scale", "bias")]
  parts += [(f"ff_layer/ffn_layer{i}/linear/{x}", f"mlp/fc{i}/{x}", same) for i in (1, 2) for x in ("kernel", "bias")]
  for x, y in (("query", "q"), ("key", "k"), ("value", "v")):
    parts += [(f"self_attention/{x}/w", f"attention/{y}/kernel", to_heads),
              (f"self_attention/{x}/b", f"attention/{y}/bias", bias_of_heads)]
  parts += [("self_attention/post/w", "attention/out/kernel", out_of_heads),
            ("self_attention/post/b", "attention/out/bias", same)]
  return [(f"{FLAX}{theirs}_encoder/transformers_stack/x_layers/{x}",
           tuple(f"{ours}block_{i}/{y}" for i in range(MOST)), stacked(change)) for x, y, change in parts]


RULES: tuple[Rule, ...] = (
    (FLAX + "patch_projection/linear/kernel", "embed/kernel", patches),
    (FLAX + "patch_projection/linear/bias", "embed/bias", same),
    (FLAX + "spatial_pos_emb/emb_var", "embed/pos_space", square),
    *transformer("spatial", ""),
    (FLAX + "spatial_ln/(scale|bias)", r"norm/\1", same),
    (FLAX + "temporal_pos_emb/emb_var", "time_embed/pos_time", same),
    *transformer("temporal", "time_"),
    (FLAX + "temporal_ln/(scale|bias)", r"time_norm/\1", same),
    ("params/(?:auxiliary_encoder|contrastive_vision_pooler|text_encoder)/.*", (), same),
    ("params/head/(kernel|bias)", r"head/label/\1", same),
)
