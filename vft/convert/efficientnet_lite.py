"""EfficientNet-Lite as the package efficientnet-lite-pytorch (a port of the published TensorFlow code) -> our names."""
from vft.convert.rules import same, torch_kernel

MODULE = r"(?:module\.)*"  # of a model that was trained with DataParallel
# Names in the port, those of their units here. The first block has no expansion, its BatchNorms still are bn1 and bn2.
CONVS = {
    r"_conv_stem": r"stem",
    r"_conv_head": r"top",
    r"_blocks\.(\d+)\._expand_conv": r"block_\1/expand",
    r"_blocks\.(\d+)\._depthwise_conv": r"block_\1/depthwise",
    r"_blocks\.(\d+)\._project_conv": r"block_\1/project",
}
NORMS = {
    r"_bn0": r"stem",
    r"_bn1": r"top",
    r"_blocks\.(\d+)\._bn0": r"block_\1/expand",
    r"_blocks\.(\d+)\._bn1": r"block_\1/depthwise",
    r"_blocks\.(\d+)\._bn2": r"block_\1/project",
}
VALUES = {"weight": "scale", "bias": "bias", "running_mean": "mean", "running_var": "var"}

RULES = (
    *((rf"{MODULE}{theirs}\.weight", f"{ours}/conv/kernel", torch_kernel) for theirs, ours in CONVS.items()),
    *((rf"{MODULE}{theirs}\.{value}", f"{ours}/bn/{name}", same)
      for theirs, ours in NORMS.items() for value, name in VALUES.items()),
    (rf"{MODULE}_fc\.weight", "head/label/kernel", torch_kernel),
    (rf"{MODULE}_fc\.bias", "head/label/bias", same),
    (r".*\.num_batches_tracked", (), same),
)
