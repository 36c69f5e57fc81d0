"""TimeSformer as transformers writes it, as facebookresearch/TimeSformer does, and Endo-FM -> our names.

Endo-FM (med-air/Endo-FM, models/timesformer.py) has the names of the latter under `backbone.`, in a `teacher` and a
`student`; as its own evaluation does, the teacher is taken. Its projection head is dropped: it has no classifier. Names
were read in the code of each; no published file was seen. Its variant with an `aux_cls_token` is not covered.

Both originals fit positions to another clip by the nearest neighbour; here they are interpolated (convert.surgery).
"""
import math

import numpy as np

from vft.convert.rules import Rule, same, split_bias, split_kernel, torch_layer, torch_norm, undone_by

ANY = (r"(?:(?:teacher|model_state|(?:backbone_)?state_dict|model|module|backbone|timesformer|embeddings|encoder)"
       r"[./])*")
EMBED = ANY + r"(?:timesformer\.embeddings\.)?"
BLOCK = ANY + r"(?:timesformer\.encoder\.layer|layer|blocks)\.(\d+)\."
# transformers' `temporal_attention.attention.qkv`, the others' `temporal_attn.qkv`; without "temporal_", that of space.
ATTENTION = BLOCK + r"(temporal_|)att(?:entio)?n\."


@undone_by(lambda array: array[None, None])
def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, D) -> (D,)."""
  return array.reshape(-1)


@undone_by(lambda array: array[None])
def in_time(array: np.ndarray) -> np.ndarray:
  """(1, T', D) -> (T', D)."""
  return array.reshape(array.shape[-2:])


@undone_by(lambda parts: np.concatenate([parts[0][None], parts[1].reshape(-1, parts[0].size)])[None])
def in_space(array: np.ndarray) -> list[np.ndarray]:
  """(1, 1 + S * S, D) -> the class token's (D,) and (S, S, D)."""
  array = array.reshape(array.shape[-2:])
  side = math.isqrt(len(array) - 1)
  return [array[0], array[1:].reshape(side, side, array.shape[-1])]


def qkv(last: str) -> tuple[str, ...]:
  """The three names of a joint projection's kernel or bias."""
  return tuple(rf"block_\1/\2attention/{x}/{last}" for x in "qkv")


RULES: tuple[Rule, ...] = (
    (r"(?:student|motion_\w+|dino_loss|fp16_scaler|optimizer(?:_state)?)[./].*", (), same),
    (ANY + r"head\.(?:mlp|last_layer)\b.*", (), same),  # of self-supervision
    *torch_layer(EMBED + r"(?:patch_embeddings\.projection|patch_embed\.proj)", "embed"),
    (EMBED + r"cls_token", "embed/cls_token", vector),
    (EMBED + r"(?:position_embeddings|pos_embed)", ("embed/cls_position", "embed/pos_space"), in_space),
    (EMBED + r"(?:time_embeddings|time_embed)", "embed/pos_time", in_time),
    *torch_norm(BLOCK + r"(?:temporal_layernorm|temporal_norm1)", r"block_\1/temporal_norm"),
    (ATTENTION + r"(?:attention\.)?qkv\.weight", qkv("kernel"), split_kernel),
    (ATTENTION + r"(?:attention\.)?qkv\.bias", qkv("bias"), split_bias),
    *torch_layer(ATTENTION + r"(?:output\.dense|proj)", r"block_\1/\2attention/out"),
    *torch_layer(BLOCK + r"(?:temporal_dense|temporal_fc)", r"block_\1/temporal_dense"),
    *torch_norm(BLOCK + r"(?:layernorm_before|norm1)", r"block_\1/norm1"),
    *torch_norm(BLOCK + r"(?:layernorm_after|norm2)", r"block_\1/norm2"),
    *torch_layer(BLOCK + r"(?:intermediate\.dense|mlp\.fc1)", r"block_\1/mlp/fc1"),
    *torch_layer(BLOCK + r"(?:output\.dense|mlp\.fc2)", r"block_\1/mlp/fc2"),
    *torch_norm(ANY + r"(?:timesformer\.)?(?:layernorm|norm)", "norm"),
    *torch_layer(ANY + r"(?:classifier|head|linear)", "head/label"),
)
