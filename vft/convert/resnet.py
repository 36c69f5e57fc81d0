"""ResNet of torchvision, and of the temporal shift module's published code (`base_model.`, `.net.`)."""
from vft.convert.rules import Rule, same, torch_kernel

START = r"(?:state_dict/|module\.|base_model\.)*"
BLOCK = START + r"layer(\d)\.(\d)\."
BN = (("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var"))

RULES: tuple[Rule, ...] = (
    (r".*\.num_batches_tracked", (), same),
    (START + r"conv1\.weight", "stem/conv/kernel", torch_kernel),
    (BLOCK + r"conv(\d)\.weight", r"layer\1_0\2/conv\3/kernel", torch_kernel),
    (BLOCK + r"conv1\.net\.weight", r"layer\1_0\2/conv1/kernel", torch_kernel),  # the shift itself has no parameters
    (BLOCK + r"downsample\.0\.weight", r"layer\1_0\2/shortcut_conv/kernel", torch_kernel),
    *((rf"{START}bn1\.{theirs}", f"stem/bn/{ours}", same) for theirs, ours in BN),
    *((rf"{BLOCK}bn(\d)\.{theirs}", rf"layer\1_0\2/bn\3/{ours}", same) for theirs, ours in BN),
    *((rf"{BLOCK}downsample\.1\.{theirs}", rf"layer\1_0\2/shortcut_bn/{ours}", same) for theirs, ours in BN),
    (START + r"(?:new_)*fc\.weight", "head/label/kernel", torch_kernel),
    (START + r"(?:new_)*fc\.bias", "head/label/bias", same),
)
