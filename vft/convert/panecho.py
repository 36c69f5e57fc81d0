"""PanEcho as its authors save it -> our names.

https://github.com/CarDS-Yale/PanEcho/releases/download/v1.0/panecho.pt (hubconf.py there): torchvision's ConvNeXt-T
below `encoder.encoder.model`, torch's TransformerEncoder, a layer for each of 39 tasks (content/tasks.md), which loads
into a task of the same name: EF is in percent, ours of a regression in deviations of the training targets. The table
of positions is a formula, which the model computes for any length.
"""
from vft.convert import convnext
from vft.convert.rules import Rule, same, split_bias, split_kernel, torch_layer, torch_norm

AT = r"(?:(?:weights|module)[./])*"
FRAMES = AT + r"encoder\.encoder\.model\."
BLOCK, OURS = AT + r"encoder\.transformer\.layers\.(\d+)\.", r"time_block_\1/"

RULES: tuple[Rule, ...] = (
    *convnext.trunk(FRAMES),
    *torch_norm(FRAMES + r"classifier\.0", "norm"),
    (AT + r"encoder\.time_encoder\.pe", (), same),
    (BLOCK + r"self_attn\.in_proj_weight", tuple(f"{OURS}over_time/{x}/kernel" for x in "qkv"), split_kernel),
    (BLOCK + r"self_attn\.in_proj_bias", tuple(f"{OURS}over_time/{x}/bias" for x in "qkv"), split_bias),
    *torch_layer(BLOCK + r"self_attn\.out_proj", OURS + "over_time/out"),
    *torch_layer(BLOCK + r"linear([12])", OURS + r"mlp/fc\2"),
    *torch_norm(BLOCK + r"norm([12])", OURS + r"norm\2"),
    *torch_layer(AT + r"((?!hidden_)[^./]+)_head\.1", r"head/\1"),  # hidden: of another head, which stays ours
)
