"""ViViT's factorised encoder as Scenic writes it -> our names.

Names are those of scenic/projects/vivit/model.py (SpaceTimeViViT); no published file was seen. Files are flax's msgpack
(`checkpoint`), the arrays under `optimizer/target/` or, of a newer Scenic, `params/`; the latter is what is written.
The classifier of EPIC-KITCHENS has 300 nouns, then 97 verbs, each with a softmax of its own.
"""
import math

import numpy as np

from vft.convert.rules import Rule, same, undone_by
from vft.convert.vivit import scenic_encoder, vector

FLAX = r"(?:params/|target/|optimizer/target/)?"


@undone_by(lambda parts: np.concatenate([parts[0][None], parts[1].reshape(-1, parts[0].size)])[None])
def in_space(array: np.ndarray) -> list[np.ndarray]:
  """(1, 1 + S * S, D) -> the class token's (D,) and (S, S, D)."""
  side = math.isqrt(array.shape[1] - 1)
  return [array[0, 0], array[0, 1:].reshape(side, side, array.shape[-1])]


@undone_by(lambda parts: np.concatenate([parts[0][None], parts[1]])[None])
def in_time(array: np.ndarray) -> list[np.ndarray]:
  """(1, 1 + T', D) -> the class token's (D,) and (T', D)."""
  return [array[0, 0], array[0, 1:]]


RULES: tuple[Rule, ...] = (
    (FLAX + r"embedding/(kernel|bias)", r"embed/\1", same),
    (FLAX + r"cls_SpatialTransformer", "embed/cls_token", vector),
    (FLAX + r"SpatialTransformer/posembed_input/pos_embedding", ("embed/cls_position", "embed/pos_space"), in_space),
    *scenic_encoder(FLAX + "SpatialTransformer", ""),
    (FLAX + r"cls_TemporalTransformer", "time_embed/cls_token", vector),
    (FLAX + r"TemporalTransformer/posembed_input/pos_embedding", ("time_embed/cls_position", "time_embed/pos_time"),
     in_time),
    *scenic_encoder(FLAX + "TemporalTransformer", "time_"),
    (FLAX + r"output_projection/(kernel|bias)", r"head/label/\1", same),
    (r"optimizer/state/.*", (), same),
)
