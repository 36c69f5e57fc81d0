"""MViTv2 as torchvision names it, as SlowFast does, and EchoPrime -> our names.

https://download.pytorch.org/models/mvit_v2_s-ae3be167.pth is S, Kinetics-400; the eight digits are the first of the
sha256. EchoPrime (https://github.com/echonet/EchoPrime, release v1.0.0, model_data.zip: weights/echo_prime_encoder.pt)
is torchvision's S with a last layer to 512, of which load_for_finetuning.py there has the names: so `head/label` of 512
"classes" is its embedding. torchvision has no B; SlowFast's model zoo does, and has other names.
"""
from vft.convert.rules import Rule, same, split_bias, split_kernel, torch_kernel, torch_layer, torch_norm, undone_by

AT = r"(?:(?:model_state|state_dict|model|module)[./])*"
BLOCK = AT + r"blocks\.(\d+)\."


@undone_by(lambda array: array)
def vector(array):
  """torchvision's (D,), or SlowFast's (1, 1, D) -> (D,)."""
  return array.reshape(-1)


RULES: tuple[Rule, ...] = (
    *torch_layer(AT + r"(?:conv_proj|patch_embed\.proj)", "embed"),
    (AT + r"(?:pos_encoding\.class_token|cls_token)", "embed/cls_token", vector),
    *torch_norm(BLOCK + r"norm([12])", r"block_\1/norm\2"),
    (BLOCK + r"attn\.qkv\.weight", tuple(rf"block_\1/pooled/{x}/kernel" for x in "qkv"), split_kernel),
    (BLOCK + r"attn\.qkv\.bias", tuple(rf"block_\1/pooled/{x}/bias" for x in "qkv"), split_bias),
    (BLOCK + r"attn\.pool_([qkv])(?:\.pool)?\.weight", r"block_\1/pooled/pool_\2/kernel", torch_kernel),
    *torch_norm(BLOCK + r"attn\.pool_([qkv])\.norm_act\.0", r"block_\1/pooled/pool_\2/norm"),
    *torch_norm(BLOCK + r"attn\.norm_([qkv])", r"block_\1/pooled/pool_\2/norm"),
    *((BLOCK + rf"attn\.rel_pos_{name[0]}", rf"block_\1/pooled/pos_{name}", same)
      for name in ("time", "height", "width")),
    *torch_layer(BLOCK + r"attn\.(?:project\.0|proj)", r"block_\1/pooled/out"),
    *torch_layer(BLOCK + r"mlp\.(?:0|fc1)", r"block_\1/mlp/fc1"),
    *torch_layer(BLOCK + r"mlp\.(?:3|fc2)", r"block_\1/mlp/fc2"),
    *torch_layer(BLOCK + r"proj(?:ect)?", r"block_\1/project"),
    *torch_norm(AT + "norm", "norm"),
    *torch_layer(AT + r"head\.(?:1|projection)", "head/label"),
)
