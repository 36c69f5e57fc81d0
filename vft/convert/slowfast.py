"""pytorchvideo's SlowFast -> our names.

Files of https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/ and their Kinetics-400 accuracy, 3 x 10 views,
from docs/source/model_zoo.md of https://github.com/facebookresearch/pytorchvideo; arrays are under "model_state"
(pytorchvideo/models/hub/slowfast.py):
  SLOWFAST_8x8_R50.pyth   top-1 76.94, top-5 92.69    32 frames at every 2nd, the slow path 8 of them
  SLOWFAST_4x16_R50.pyth  top-1 75.34, top-5 91.89    32 frames at every 2nd, the slow path 4
  SLOWFAST_8x8_R101.pyth  top-1 77.90, top-5 93.27
The code's licence is Apache-2.0 (LICENSE); none is stated for the files. Input statistics: 0.45 and 0.225
(pytorchvideo_trainer, conf/datamodule/transforms/kinetics_classification_slowfast.yaml).

Their `blocks.N` is the stem (0) or a layer; what joins the paths stands behind it there, before the next layer here.
"""
from vft.convert.rules import Rule, torch_batch_norm, torch_kernel, torch_layer

AT = r"(?:model_state/|module\.)*blocks\."


def path(inside: str, stem_at: str, block_at: str) -> tuple[Rule, ...]:
  """Rules for a path: what stands before `conv` and `res_blocks` there, and within our stem and blocks."""
  stem = AT + r"0\." + inside
  block = AT + r"(\d)\." + inside + r"res_blocks\.(\d+)\."
  at = r"layer\1_\2/" + block_at
  return (
      (stem + r"conv\.weight", f"stem/{stem_at}conv/kernel", torch_kernel),
      *torch_batch_norm(stem + "norm", f"stem/{stem_at}bn"),
      (block + r"branch1_conv\.weight", at + "shortcut_conv/kernel", torch_kernel),
      *torch_batch_norm(block + "branch1_norm", at + "shortcut_bn"),
      (block + r"branch2\.conv_([abc])\.weight", at + r"conv_\3/kernel", torch_kernel),
      *torch_batch_norm(block + r"branch2\.norm_([abc])", at + r"bn_\3"),
  )


def _join(number: int) -> tuple[Rule, ...]:
  theirs, ours = AT + rf"{number}\.multipathway_fusion\.", f"layer{number + 1}_0/"  # `apply` makes it two digits
  return ((theirs + r"conv_fast_to_slow\.weight", ours + "join_conv/kernel", torch_kernel),
          *torch_batch_norm(theirs + "norm", ours + "join_bn"))


RULES: tuple[Rule, ...] = (
    *path(r"multipathway_blocks\.0\.", "slow_", "slow/"),
    *path(r"multipathway_blocks\.1\.", "fast_", "fast/"),
    *(rule for number in range(4) for rule in _join(number)),
    *torch_layer(AT + r"6\.proj", "head/label"),
)
