"""Vision transformers of frames -> our names: DINOv2, CLIP and SigLIP as transformers writes them, and DINOv2 as
facebookresearch/dinov2 does. transformers 5 has other names in memory than in its files; both are here.
"""
import math
from collections.abc import Collection

import numpy as np

from vft.convert.rules import (
  Rule,
  same,
  split_bias,
  split_kernel,
  torch_layer,
  torch_norm,
  undone_by,
)


@undone_by(lambda array: array[None])
def vectors(array: np.ndarray) -> np.ndarray:
  """(1, R, D) -> (R, D)."""
  return array.reshape(array.shape[-2:])


@undone_by(lambda array: array[None, None])
def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, D) or (D,) -> (D,)."""
  return array.reshape(-1)


def with_class(parts: list[np.ndarray | None]) -> np.ndarray:
  """The way back from `positions`: ([1 +] S * S, D)."""
  first, grid = parts
  assert grid is not None
  grid = grid.reshape(-1, grid.shape[-1])
  return grid if first is None else np.concatenate([first[None], grid])


@undone_by(lambda parts: with_class(parts)[None])
def positions(array: np.ndarray) -> list[np.ndarray | None]:
  """(1, [1 +] S * S, D), or without the first axis -> the class token's (D,), None without one, and (S, S, D)."""
  array = array.reshape(array.shape[-2:])
  n, d = array.shape
  side = math.isqrt(n)
  first, grid = (array[0], array[1:]) if n - side * side == 1 else (None, array)
  return [first, grid.reshape(side, side, d)]


@undone_by(with_class)
def flat_positions(array: np.ndarray) -> list[np.ndarray | None]:
  """As `positions`, of a file without the first axis."""
  return positions(array)


@undone_by(lambda array: array)
def token(array: np.ndarray) -> np.ndarray:
  """A class token (D,), or with axes before it."""
  return array.reshape(-1)


POSITIONS = ("embed/cls_position", "embed/pos_space")
ANY = r"(?:module\.|model\.|backbone\.|teacher\.|dinov2\.|dinov2_with_registers\.|vision_model\.)*"
LAYER = ANY + r"encoder\.layer\.(\d+)\."
DINOV2: tuple[Rule, ...] = (  # as transformers writes it; o_proj and the like since version 5, in memory only
    *torch_layer(ANY + r"embeddings\.patch_embeddings\.projection", "embed"),
    (ANY + r"embeddings\.cls_token", "embed/cls_token", vector),
    (ANY + r"embeddings\.position_embeddings", POSITIONS, positions),
    (ANY + r"embeddings\.register_tokens", "embed/registers", vectors),
    *torch_norm(LAYER + r"norm([12])", r"block_\1/norm\2"),
    (LAYER + r"layer_scale([12])\.lambda1", r"block_\1/scale\2", same),
    *(rule for x in ("query", "key", "value") for rule in torch_layer(
        LAYER + rf"attention\.(?:attention\.{x}|{x[0]}_proj)", rf"block_\1/attention/{x[0]}")),
    *torch_layer(LAYER + r"attention\.(?:output\.dense|o_proj)", r"block_\1/attention/out"),
    *torch_layer(LAYER + r"mlp\.(fc[12])", r"block_\1/mlp/\2"),
    *torch_norm(ANY + r"layernorm", "norm"),
)

VISION = ANY + r"(?:vision_model\.)?"
LAYERS = VISION + r"encoder\.layers\.(\d+)\."
POOLER = VISION + r"head\."
CLIP: tuple[Rule, ...] = (  # and SigLIP, which has the pooler
    *torch_layer(VISION + r"embeddings\.patch_embedding", "embed"),
    (VISION + r"embeddings\.class_embedding", "embed/cls_token", token),
    (VISION + r"embeddings\.position_embedding\.weight", POSITIONS, flat_positions),
    *torch_norm(VISION + r"pre_layrnorm", "embed/norm"),
    *torch_norm(LAYERS + r"layer_norm([12])", r"block_\1/norm\2"),
    *torch_layer(LAYERS + r"self_attn\.([qkv])_proj", r"block_\1/attention/\2"),
    *torch_layer(LAYERS + r"self_attn\.out_proj", r"block_\1/attention/out"),
    *torch_layer(LAYERS + r"mlp\.(fc[12])", r"block_\1/mlp/\2"),
    *torch_norm(VISION + r"post_layernorm", "norm"),
    (POOLER + r"probe", r"pooler/query", same),
    (POOLER + r"attention\.in_proj_weight", tuple(f"pooler/attention/{x}/kernel" for x in "qkv"), split_kernel),
    (POOLER + r"attention\.in_proj_bias", tuple(f"pooler/attention/{x}/bias" for x in "qkv"), split_bias),
    *torch_layer(POOLER + r"attention\.out_proj", "pooler/attention/out"),
    *torch_norm(POOLER + r"layernorm", "pooler/norm"),
    *torch_layer(POOLER + r"mlp\.(fc[12])", r"pooler/mlp/\1"),
)

BLOCK = ANY + r"blocks\.(?:\d+\.)?(\d+)\."  # blocks.1.3: block 3 in chunk 1, as training writes them
PUBLISHED: tuple[Rule, ...] = (  # by facebookresearch/dinov2
    *torch_layer(ANY + r"patch_embed\.proj", "embed"),
    (ANY + r"cls_token", "embed/cls_token", vector),
    (ANY + r"pos_embed", POSITIONS, positions),
    (ANY + r"register_tokens", "embed/registers", vectors),
    *torch_norm(BLOCK + r"norm([12])", r"block_\1/norm\2"),
    (BLOCK + r"ls([12])\.gamma", r"block_\1/scale\2", same),
    (BLOCK + r"attn\.qkv\.weight", tuple(rf"block_\1/attention/{x}/kernel" for x in "qkv"), split_kernel),
    (BLOCK + r"attn\.qkv\.bias", tuple(rf"block_\1/attention/{x}/bias" for x in "qkv"), split_bias),
    *torch_layer(BLOCK + r"attn\.proj", r"block_\1/attention/out"),
    *torch_layer(BLOCK + r"mlp\.(fc[12])", r"block_\1/mlp/\2"),
    *torch_norm(ANY + r"norm", "norm"),
)

CLASSIFIER: tuple[Rule, ...] = torch_layer(ANY + r"(?:classifier|linear_head)", "head/label")
RULES: tuple[Rule, ...] = (
    *DINOV2, *CLIP, *PUBLISHED, *CLASSIFIER,
    (ANY + r"(?:embeddings\.)?(?:mask_token|position_ids)", (), same),
    # The rest of a whole CLIP or SigLIP, and of DINOv2's teacher.
    (ANY + r"(?:text_model|text_projection|visual_projection|logit_(?:scale|bias)|(?:dino|ibot)_head)\b.*", (), same),
)


def written(names: Collection[str]) -> tuple[Rule, ...]:
  """Those of the original that has these arrays; DINOv2 alone scales its layers."""
  return (*(DINOV2 if "block_00/scale1" in names else CLIP), *CLASSIFIER)
