"""ConvNeXt of torchvision -> our names; https://download.pytorch.org/models/, figures of 0.29.1 (models/convnext.py).

  convnext_tiny-983f1562.pth   ImageNet top-1 82.520, top-5 96.146
  convnext_small-0c510722.pth  top-1 83.616, top-5 96.650
  convnext_base-6075fbad.pth   top-1 84.062, top-5 96.870
  convnext_large-ea097f82.pth  top-1 84.414, top-5 96.976
The eight digits are the first of the sha256. Layers are the odd of `features`, what strides between them the even.
"""
import numpy as np

from vft.convert.rules import Rule, torch_layer, torch_norm, undone_by

AT = r"(?:(?:state_dict|model|module)[./])*"


@undone_by(lambda array: array[:, None, None])
def per_channel(array: np.ndarray) -> np.ndarray:
  """(D, 1, 1) -> (D,)."""
  return array.reshape(len(array))


def trunk(at: str) -> tuple[Rule, ...]:
  """Rules of `features`, which stand behind `at`."""
  rules = [*torch_layer(at + r"features\.0\.0", "stem/conv"), *torch_norm(at + r"features\.0\.1", "stem/norm")]
  for number in (1, 2, 3, 4):
    block, ours = at + rf"features\.{2 * number - 1}\.(\d+)\.", rf"layer{number}_\1/"
    down = at + rf"features\.{2 * number - 2}\."
    rules += [
        *torch_layer(block + r"block\.0", ours + "conv"),
        *torch_norm(block + r"block\.2", ours + "norm"),
        *torch_layer(block + r"block\.3", ours + "mlp/fc1"),
        *torch_layer(block + r"block\.5", ours + "mlp/fc2"),
        (block + "layer_scale", ours + "scale", per_channel),
        *(torch_norm(down + "0", f"down{number}/norm") if number > 1 else ()),
        *(torch_layer(down + "1", f"down{number}/conv") if number > 1 else ()),
    ]
  return tuple(rules)


RULES: tuple[Rule, ...] = (
    *trunk(AT),
    *torch_norm(AT + r"classifier\.0", "head/norm"),
    *torch_layer(AT + r"classifier\.2", "head/label"),
)
