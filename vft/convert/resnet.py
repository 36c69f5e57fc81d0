"""ResNet of torchvision, and of the temporal shift module's published code (`base_model.`, `.net.`)."""
from vft.convert.rules import Rule, torch_batch_norm, torch_kernel, torch_layer

START = r"(?:state_dict/|module\.|base_model\.)*"
BLOCK = START + r"layer(\d)\.(\d)\."

RULES: tuple[Rule, ...] = (
    (START + r"conv1\.weight", "stem/conv/kernel", torch_kernel),
    (BLOCK + r"conv(\d)\.weight", r"layer\1_\2/conv\3/kernel", torch_kernel),
    (BLOCK + r"conv1\.net\.weight", r"layer\1_\2/conv1/kernel", torch_kernel),  # the shift itself has no parameters
    (BLOCK + r"downsample\.0\.weight", r"layer\1_\2/shortcut_conv/kernel", torch_kernel),
    *torch_batch_norm(START + r"bn1", "stem/bn"),
    *torch_batch_norm(BLOCK + r"bn(\d)", r"layer\1_\2/bn\3"),
    *torch_batch_norm(BLOCK + r"downsample\.1", r"layer\1_\2/shortcut_bn"),
    *torch_layer(START + r"(?:new_)*fc", "head/label"),
)
