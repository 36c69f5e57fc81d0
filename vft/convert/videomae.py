"""VideoMAE and VideoMAE v2 -> our names: transformers' files, old and new, and those of the published code.

Self-supervised files (names under `encoder.`, with a decoder, which is dropped) end in a norm over tokens and have no
classifier. That norm becomes `head/norm`: a start for the norm of the mean token, and the very thing for an attentive
head, whose norm is over tokens. `init.keep_init=("head/label/.*",)` uses it, `("head/.*",)` starts anew, as the
published fine-tuning does.
"""
from vft.convert.rules import Rule, same, split_kernel, torch_kernel

PUBLISHED = r"(?:module[./]|model[./]|state_dict[./]|backbone\.|encoder\.)*"
TRANSFORMERS = r"(?:videomae\.)?"
LAYER = TRANSFORMERS + r"encoder\.layer\.(\d+)\."
BLOCK = PUBLISHED + r"blocks\.(\d+)\."

RULES: tuple[Rule, ...] = (
    (r"(?:module[./]|model[./])*(?:decoder\..*|encoder_to_decoder\..*|mask_token)", (), same),
    # transformers
    (TRANSFORMERS + r"embeddings\.patch_embeddings\.projection\.weight", r"embed/kernel", torch_kernel),
    (TRANSFORMERS + r"embeddings\.patch_embeddings\.projection\.bias", r"embed/bias", same),
    (LAYER + r"layernorm_before\.weight", r"block_\1/norm1/scale", same),
    (LAYER + r"layernorm_before\.bias", r"block_\1/norm1/bias", same),
    (LAYER + r"layernorm_after\.weight", r"block_\1/norm2/scale", same),
    (LAYER + r"layernorm_after\.bias", r"block_\1/norm2/bias", same),
    *((LAYER + rf"attention\.attention\.{x}\.weight", rf"block_\1/attention/{x[0]}/kernel", torch_kernel)
      for x in ("query", "key", "value")),
    *((LAYER + rf"attention\.attention\.(?:{x[0]}_|{x}\.)bias", rf"block_\1/attention/{x[0]}/bias", same)
      for x in ("query", "value")),
    (LAYER + r"attention\.output\.dense\.weight", r"block_\1/attention/out/kernel", torch_kernel),
    (LAYER + r"attention\.output\.dense\.bias", r"block_\1/attention/out/bias", same),
    (LAYER + r"intermediate\.dense\.weight", r"block_\1/mlp/fc1/kernel", torch_kernel),
    (LAYER + r"intermediate\.dense\.bias", r"block_\1/mlp/fc1/bias", same),
    (LAYER + r"output\.dense\.weight", r"block_\1/mlp/fc2/kernel", torch_kernel),
    (LAYER + r"output\.dense\.bias", r"block_\1/mlp/fc2/bias", same),
    (r"fc_norm\.weight", r"head/norm/scale", same),
    (r"fc_norm\.bias", r"head/norm/bias", same),
    (TRANSFORMERS + r"layernorm\.weight", r"head/norm/scale", same),
    (TRANSFORMERS + r"layernorm\.bias", r"head/norm/bias", same),
    (r"classifier\.weight", r"head/label/kernel", torch_kernel),
    (r"classifier\.bias", r"head/label/bias", same),
    # The published code; its fc_norm is also that of transformers.
    (PUBLISHED + r"patch_embed\.proj\.weight", r"embed/kernel", torch_kernel),
    (PUBLISHED + r"patch_embed\.proj\.bias", r"embed/bias", same),
    (BLOCK + r"norm([12])\.weight", r"block_\1/norm\2/scale", same),
    (BLOCK + r"norm([12])\.bias", r"block_\1/norm\2/bias", same),
    (BLOCK + r"attn\.qkv\.weight",
     (r"block_\1/attention/q/kernel", r"block_\1/attention/k/kernel", r"block_\1/attention/v/kernel"), split_kernel),
    (BLOCK + r"attn\.(q|v)_bias", r"block_\1/attention/\2/bias", same),
    (BLOCK + r"attn\.proj\.weight", r"block_\1/attention/out/kernel", torch_kernel),
    (BLOCK + r"attn\.proj\.bias", r"block_\1/attention/out/bias", same),
    (BLOCK + r"mlp\.(fc[12])\.weight", r"block_\1/mlp/\2/kernel", torch_kernel),
    (BLOCK + r"mlp\.(fc[12])\.bias", r"block_\1/mlp/\2/bias", same),
    (PUBLISHED + r"(?:fc_)?norm\.weight", r"head/norm/scale", same),
    (PUBLISHED + r"(?:fc_)?norm\.bias", r"head/norm/bias", same),
    (PUBLISHED + r"head\.weight", r"head/label/kernel", torch_kernel),
    (PUBLISHED + r"head\.bias", r"head/label/bias", same),
)
