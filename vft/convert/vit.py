"""Vision transformers of frames -> our names: DINOv2, CLIP and SigLIP as transformers writes them, and DINOv2 as
facebookresearch/dinov2 does. transformers 5 has other names in memory than in its files; both are here.
"""
import math

import numpy as np

from vft.convert.rules import same, split_bias, split_kernel, torch_kernel


def vectors(array: np.ndarray) -> np.ndarray:
  """(1, R, D) -> (R, D)."""
  return array.reshape(array.shape[-2:])


def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, D) or (D,) -> (D,)."""
  return array.reshape(-1)


def positions(array: np.ndarray) -> list[np.ndarray | None]:
  """(1, [1 +] S * S, D), or without the first axis -> the class token's (D,), None without one, and (S, S, D)."""
  array = array.reshape(array.shape[-2:])
  n, d = array.shape
  side = math.isqrt(n)
  first, grid = (array[0], array[1:]) if n - side * side == 1 else (None, array)
  return [first, grid.reshape(side, side, d)]


ANY = r"(?:module\.|model\.|backbone\.|teacher\.|dinov2\.|dinov2_with_registers\.|vision_model\.)*"
PATCH = ANY + r"(?:embeddings\.patch_embeddings\.projection|embeddings\.patch_embedding|patch_embed\.proj)\."
# blocks.1.3: block 3 in chunk 1, as training writes them.
BLOCK = ANY + r"(?:encoder\.layers?\.|blocks\.(?:\d+\.)?)(\d+)\."
QKV = BLOCK + r"(?:attention\.attention\.|attention\.|self_attn\.)([qkv])(?:uery|ey|alue|_proj)\."
OUT = BLOCK + r"(?:attention\.output\.dense|attention\.o_proj|self_attn\.out_proj|attn\.proj)\."
POOLER = ANY + r"head\."
CLASSIFIER = ANY + r"(?:classifier|linear_head)\."

RULES = (
    (PATCH + r"weight", r"embed/kernel", torch_kernel),
    (PATCH + r"bias", r"embed/bias", same),
    (ANY + r"(?:embeddings\.class_embedding|(?:embeddings\.)?cls_token)", r"embed/cls_token", vector),
    (ANY + r"(?:embeddings\.position_embeddings|embeddings\.position_embedding\.weight|pos_embed)",
     (r"embed/cls_position", r"embed/pos_space"), positions),
    (ANY + r"(?:embeddings\.)?register_tokens", r"embed/registers", vectors),
    (ANY + r"pre_laye?rnorm\.weight", r"embed/norm/scale", same),
    (ANY + r"pre_laye?rnorm\.bias", r"embed/norm/bias", same),
    (BLOCK + r"(?:layer_)?norm([12])\.weight", r"block_\1/norm\2/scale", same),
    (BLOCK + r"(?:layer_)?norm([12])\.bias", r"block_\1/norm\2/bias", same),
    (BLOCK + r"(?:layer_scale|ls)([12])\.(?:lambda1|gamma)", r"block_\1/scale\2", same),
    (QKV + r"weight", r"block_\1/attention/\2/kernel", torch_kernel),
    (QKV + r"bias", r"block_\1/attention/\2/bias", same),
    (BLOCK + r"attn\.qkv\.weight", tuple(rf"block_\1/attention/{x}/kernel" for x in "qkv"), split_kernel),
    (BLOCK + r"attn\.qkv\.bias", tuple(rf"block_\1/attention/{x}/bias" for x in "qkv"), split_bias),
    (OUT + r"weight", r"block_\1/attention/out/kernel", torch_kernel),
    (OUT + r"bias", r"block_\1/attention/out/bias", same),
    (BLOCK + r"mlp\.(fc[12])\.weight", r"block_\1/mlp/\2/kernel", torch_kernel),
    (BLOCK + r"mlp\.(fc[12])\.bias", r"block_\1/mlp/\2/bias", same),
    (ANY + r"(?:(?:post_)?layernorm|norm)\.weight", r"norm/scale", same),
    (ANY + r"(?:(?:post_)?layernorm|norm)\.bias", r"norm/bias", same),
    (POOLER + r"probe", r"pooler/query", same),
    (POOLER + r"attention\.in_proj_weight", tuple(f"pooler/attention/{x}/kernel" for x in "qkv"), split_kernel),
    (POOLER + r"attention\.in_proj_bias", tuple(f"pooler/attention/{x}/bias" for x in "qkv"), split_bias),
    (POOLER + r"attention\.out_proj\.weight", r"pooler/attention/out/kernel", torch_kernel),
    (POOLER + r"attention\.out_proj\.bias", r"pooler/attention/out/bias", same),
    (POOLER + r"layernorm\.weight", r"pooler/norm/scale", same),
    (POOLER + r"layernorm\.bias", r"pooler/norm/bias", same),
    (POOLER + r"mlp\.(fc[12])\.weight", r"pooler/mlp/\1/kernel", torch_kernel),
    (POOLER + r"mlp\.(fc[12])\.bias", r"pooler/mlp/\1/bias", same),
    (CLASSIFIER + r"weight", r"head/label/kernel", torch_kernel),
    (CLASSIFIER + r"bias", r"head/label/bias", same),
    (ANY + r"(?:embeddings\.)?(?:mask_token|position_ids)", (), same),
    # The rest of a whole CLIP or SigLIP, and of DINOv2's teacher.
    (ANY + r"(?:text_model|text_projection|visual_projection|logit_(?:scale|bias)|(?:dino|ibot)_head)\b.*", (), same),
)
