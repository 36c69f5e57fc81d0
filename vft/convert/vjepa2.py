"""V-JEPA 2 as transformers writes it, with and without its probe -> our names.

Files of facebook/vjepa2-vitl-fpc64-256 and its like hold the trunk (`encoder.`) and the predictor of pre-training,
which is dropped: `init.keep_init=("head/.*",)`. Those of facebook/vjepa2-vitl-fpc16-256-ssv2 hold a probe too: four
blocks under `pooler.`, the head `attentive` with depth=4. The port in transformers has 1e-6 in the probe's norms, the
authors 1e-5 (src/models/attentive_pooler.py), as here; and it gives the probe of g the trunk's 22 heads, where the
authors' configs (configs/eval/vitg-384) have 16, as here. The authors' own files (vitl.pt) are not covered.
"""
from vft.convert.rules import Rule, same, torch_layer, torch_norm

TRUNK = r"(?:vjepa2\.)?encoder\."
LAYER = TRUNK + r"layer\.(\d+)\."
PROBE = r"pooler\.self_attention_layers\.(\d+)\."
CROSS = r"pooler\.cross_attention_layer\."

RULES: tuple[Rule, ...] = (
    (r"(?:vjepa2\.)?predictor\..*", (), same),
    *torch_layer(TRUNK + r"embeddings\.patch_embeddings\.proj", "embed"),
    *torch_norm(LAYER + r"norm([12])", r"block_\1/norm\2"),
    *(rule for x in ("query", "key", "value") for rule in torch_layer(LAYER + rf"attention\.{x}",
                                                                      rf"block_\1/attention/{x[0]}")),
    *torch_layer(LAYER + r"attention\.proj", r"block_\1/attention/out"),
    *torch_layer(LAYER + r"mlp\.(fc[12])", r"block_\1/mlp/\2"),
    *torch_norm(TRUNK + "layernorm", "norm"),
    (r"pooler\.query_tokens", "head/pooler/query", same),
    *torch_norm(PROBE + r"layer_norm([12])", r"head/pooler/block_\1/norm\2"),
    *torch_layer(PROBE + r"self_attn\.([qkv])_proj", r"head/pooler/block_\1/attention/\2"),
    *torch_layer(PROBE + r"self_attn\.out_proj", r"head/pooler/block_\1/attention/out"),
    *torch_layer(PROBE + r"mlp\.(fc[12])", r"head/pooler/block_\1/mlp/\2"),
    *torch_norm(CROSS + r"layer_norm([12])", r"head/pooler/cross/norm\1"),
    *torch_layer(CROSS + r"cross_attn\.([qkv])_proj", r"head/pooler/cross/attention/\1"),
    *torch_layer(CROSS + r"mlp\.(fc[12])", r"head/pooler/cross/mlp/\1"),
    *torch_layer("classifier", "head/label"),
)
