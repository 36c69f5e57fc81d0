"""ResNet of torchvision, of the temporal shift module's published code (`base_model.`, `.net.`), and of surgery.

SurgVLP, HecVL and PeskaVLP (https://github.com/CAMMA-public/SurgVLP): `backbone_img.model.` is torchvision's ResNet-50,
`global_embedder` a layer to 768 that stands beside the text, so `head/label` of 768 "classes" is that embedding; the
BERT of the text, `backbone_text.`, is not used. SelfSupSurg (https://github.com/CAMMA-public/SelfSupSurg) are
checkpoints of VISSL, whose trunk is torchvision's too (`_feature_blocks.`; VISSL's own, saved as its hooks save it,
and ours gave the same features to 6e-7, once); no file has a classifier.
"""
from vft.convert.rules import Rule, torch_batch_norm, torch_kernel, torch_layer

VISSL = r"classy_state_dict/base_model/model/trunk/"
START = rf"(?:state_dict/|module\.|base_model\.|backbone_img\.model\.|{VISSL}|_feature_blocks\.)*"
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
    *torch_layer(r"backbone_img\.global_embedder", "head/label"),
)
