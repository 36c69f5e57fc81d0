"""pytorchvideo's X3D -> our names.

Files of https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/ (pytorchvideo/models/hub/x3d.py; arrays are
under "model_state") and their Kinetics-400 accuracy, 3 x 10 views, from docs/source/model_zoo.md of
https://github.com/facebookresearch/pytorchvideo:
  X3D_XS.pyth  top-1 69.12, top-5 88.63   4 frames at every 12th, 160 x 160
  X3D_S.pyth   top-1 73.33, top-5 91.27   13 at every 6th, 160 x 160
  X3D_M.pyth   top-1 75.94, top-5 92.72   16 at every 5th, 224 x 224
  X3D_L.pyth   top-1 77.44, top-5 93.31   16 at every 5th, 312 x 312
The code's licence is Apache-2.0 (LICENSE); none is stated for the files.

The stem's `conv_t` is the convolution in space there, `conv_xy` the one over time. Its last dense layer but one has no
bias; ours starts at 0.
"""
import numpy as np

from vft.convert.rules import Rule, same, torch_batch_norm, torch_kernel, torch_layer, torch_pointwise, undone_by

AT = r"(?:model_state/|module\.)*blocks\."
BLOCK = AT + r"(\d)\.res_blocks\.(\d+)\."
OURS = r"layer\1_\2/"


@undone_by(lambda parts: None if parts[1] is None or parts[1].any() else parts[0].T[..., None, None, None])
def unbiased(array: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """A torch kernel (O, I, 1, 1, 1) of a layer without bias -> (I, O) and a bias of 0. Undone where it still is."""
  return array.reshape(array.shape[:2]).T, np.zeros(len(array), np.float32)


RULES: tuple[Rule, ...] = (
    (AT + r"0\.conv\.conv_t\.weight", "stem/conv/kernel", torch_kernel),
    (AT + r"0\.conv\.conv_xy\.weight", "stem/conv_time/kernel", torch_kernel),
    *torch_batch_norm(AT + r"0\.norm", "stem/bn"),
    (BLOCK + r"branch1_conv\.weight", OURS + "shortcut_conv/kernel", torch_kernel),
    *torch_batch_norm(BLOCK + "branch1_norm", OURS + "shortcut_bn"),
    (BLOCK + r"branch2\.conv_([abc])\.weight", OURS + r"conv_\3/kernel", torch_kernel),
    *torch_batch_norm(BLOCK + r"branch2\.norm_([ac])", OURS + r"bn_\3"),
    *torch_batch_norm(BLOCK + r"branch2\.norm_b\.0", OURS + "bn_b"),
    *(rule for number, layer in ((0, "squeeze"), (2, "excite")) for rule in (
        (BLOCK + rf"branch2\.norm_b\.1\.block\.{number}\.weight", OURS + f"se/{layer}/kernel", torch_pointwise),
        (BLOCK + rf"branch2\.norm_b\.1\.block\.{number}\.bias", OURS + f"se/{layer}/bias", same))),
    (AT + r"5\.pool\.pre_conv\.weight", "conv5/conv/kernel", torch_kernel),
    *torch_batch_norm(AT + r"5\.pool\.pre_norm", "conv5/bn"),
    (AT + r"5\.pool\.post_conv\.weight", ("head/hidden_00/kernel", "head/hidden_00/bias"), unbiased),
    *torch_layer(AT + r"5\.proj", "head/label"),
)
