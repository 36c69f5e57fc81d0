"""torchvision's Video Swin -> our names.

The files of https://download.pytorch.org/models/ with the accuracy that torchvision 0.29.1
(models/video/swin_transformer.py) states for them, on Kinetics-400; the eight digits are the first of the sha256.
  swin3d_t-7615ae03.pth       top-1 77.715, top-5 93.519
  swin3d_s-da41c237.pth       top-1 79.521, top-5 94.158
  swin3d_b_1k-24f7c7c6.pth    top-1 79.427, top-5 94.386
  swin3d_b_22k-7c6ae6fa.pth   top-1 81.643, top-5 95.574; begun from ImageNet-22K
Stages are the even of `features`, what merges tokens between them the odd.
"""
from vft.convert.rules import Rule, same, split_bias, split_kernel, torch_kernel, torch_layer, torch_norm

AT = r"(?:(?:state_dict|model|module)[./])*"


def _stage(number: int) -> tuple[Rule, ...]:
  block, ours = AT + rf"features\.{2 * number - 2}\.(\d+)\.", rf"stage{number}_block_\1/"
  return (
      *torch_norm(block + r"norm([12])", ours + r"norm\2"),
      (block + r"attn\.relative_position_bias_table", ours + "windows/distances", same),
      (block + r"attn\.relative_position_index", (), same),
      (block + r"attn\.qkv\.weight", tuple(f"{ours}windows/{x}/kernel" for x in "qkv"), split_kernel),
      (block + r"attn\.qkv\.bias", tuple(f"{ours}windows/{x}/bias" for x in "qkv"), split_bias),
      *torch_layer(block + r"attn\.proj", ours + "windows/out"),
      *torch_layer(block + r"mlp\.0", ours + "mlp/fc1"),
      *torch_layer(block + r"mlp\.3", ours + "mlp/fc2"),
      *torch_norm(AT + rf"features\.{2 * number - 1}\.norm", f"merge{number}/norm"),
      (AT + rf"features\.{2 * number - 1}\.reduction\.weight", f"merge{number}/reduction/kernel", torch_kernel),
  )


RULES: tuple[Rule, ...] = (
    *torch_layer(AT + r"patch_embed\.proj", "embed"),
    *torch_norm(AT + r"patch_embed\.norm", "embed/norm"),
    *(rule for number in (1, 2, 3, 4) for rule in _stage(number)),
    *torch_norm(AT + "norm", "norm"),
    *torch_layer(AT + "head", "head/label"),
)
