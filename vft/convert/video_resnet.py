"""torchvision's R3D-18, MC3-18 and R(2+1)D-18, and EchoNet-Dynamic's checkpoints of them -> our names.

The files of https://download.pytorch.org/models/ with the accuracy that torchvision 0.29.1 (models/video/resnet.py)
states for them: Kinetics-400, 5 clips a video of 16 frames at 15 Hz, 112 x 112.
  r3d_18-b3b3357e.pth       top-1 63.200, top-5 83.479
  mc3_18-a90a0ba3.pth       top-1 63.960, top-5 84.130
  r2plus1d_18-91a641e6.pth  top-1 67.463, top-5 86.175
The eight digits are the first of the sha256. EchoNet-Dynamic (https://github.com/echonet/dynamic, release v1.0.0, file
r2plus1d_18_32_2_pretrained.pt) keeps a DataParallel model of one output, the ejection fraction in percent, under
"state_dict" beside the optimiser's state (echonet/utils/video.py).

The stem's second convolution exists in R(2+1)D only, and its first stands under the same name in all three: so it is
`conv` here too, and the second `conv_time`. In a block the names differ: `conv1_space`, then `conv1` over time.
"""
from collections.abc import Collection

from vft.convert.rules import Rule, torch_batch_norm, torch_kernel, torch_layer

AT = r"(?:state_dict/|module\.)*"
LAYER = AT + r"layer(\d)\.(\d)\."

RULES: tuple[Rule, ...] = (
    (AT + r"stem\.0\.weight", "stem/conv/kernel", torch_kernel),
    (AT + r"stem\.3\.weight", "stem/conv_time/kernel", torch_kernel),
    *torch_batch_norm(AT + r"stem\.1", "stem/bn"),
    *torch_batch_norm(AT + r"stem\.4", "stem/bn_time"),
    (LAYER + r"conv(\d)\.0\.weight", r"layer\1_\2/conv\3/kernel", torch_kernel),
    (LAYER + r"conv(\d)\.0\.0\.weight", r"layer\1_\2/conv\3_space/kernel", torch_kernel),
    (LAYER + r"conv(\d)\.0\.3\.weight", r"layer\1_\2/conv\3/kernel", torch_kernel),
    (LAYER + r"downsample\.0\.weight", r"layer\1_\2/shortcut_conv/kernel", torch_kernel),
    *torch_batch_norm(LAYER + r"conv(\d)\.1", r"layer\1_\2/bn\3"),
    *torch_batch_norm(LAYER + r"conv(\d)\.0\.1", r"layer\1_\2/bn\3_space"),
    *torch_batch_norm(LAYER + r"downsample\.1", r"layer\1_\2/shortcut_bn"),
    *torch_layer(AT + "fc", "head/label"),
)


def written(names: Collection[str]) -> tuple[Rule, ...]:
  """Those of the original that has these arrays: of a pair, the convolution over time is the fourth of its sequence."""
  pairs = "layer1_00/conv1_space/kernel" in names
  return tuple(rule for rule in RULES if rule[0] != LAYER + r"conv(\d)\.0\.weight" or not pairs)
