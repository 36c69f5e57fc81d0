"""VGG16 of torchvision (.pth) and of Keras (.h5: the published files, `model.save`, and .weights.h5) -> our names."""
import numpy as np

from vft.convert.rules import Rule, same, torch_kernel, undone_by

BLOCKS = tuple(f"block{s}_conv{i}" for s, depth in enumerate((2, 2, 3, 3, 3), 1) for i in range(1, depth + 1))
TORCH = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)  # numbers of the convolutions in `features`
HEAD = ("head/hidden_00", "head/hidden_01", "head/label")


def caffe_kernel(array: np.ndarray) -> np.ndarray:
  """Keras's first kernel takes blue, green, red in 0..255, ours red, green, blue by the deviation of torchvision.

  Only the scale is folded in: the means stay with the input, where zero padding comes after them.
  """
  return array[:, :, ::-1] * (255 * np.array((0.229, 0.224, 0.225))).reshape(1, 1, 3, 1)


def channels_first(array: np.ndarray) -> np.ndarray | None:
  """The way back from `flattened_kernel`; None where the pixels are not the 7 x 7 of torchvision."""
  pixels, width = 7 * 7, array.shape[-1]
  return None if len(array) % pixels else array.reshape(7, 7, -1, width).transpose(3, 2, 0, 1).reshape(width, -1)


@undone_by(channels_first)
def flattened_kernel(array: np.ndarray) -> np.ndarray:
  """A torch kernel (O, C * 7 * 7), channels before pixels, -> (7 * 7 * C, O)."""
  width = array.shape[0]
  return array.reshape(width, -1, 7, 7).transpose(2, 3, 1, 0).reshape(-1, width)


def _torch(number: str, ours: str, kernel=torch_kernel) -> tuple[Rule, ...]:
  name = rf"(?:module\.)*{number}\."
  return (name + "weight", f"{ours}/kernel", kernel), (name + "bias", f"{ours}/bias", same)


def _keras(layer: str, number: int, kind: str, ours: str, kernel=same) -> tuple[Rule, ...]:
  """A layer by name, as in layer/layer_W_1:0 or vgg16/layer/kernel, or by number, as in layers/kind_3/vars/0."""
  name = rf"(?:.*/)?{layer}/(?:{layer}[/_])?"
  # Only a trunk may lie inside another model: the dense layers there are that model's.
  vars_ = rf"{'(?:.*/)?' if kind == 'conv2d' else ''}layers/{kind}{f'_{number}' if number else ''}/vars/"
  return ((rf"{name}(?:kernel|W_1)(?::0)?|{vars_}0", f"{ours}/kernel", kernel),
          (rf"{name}(?:bias|b_1)(?::0)?|{vars_}1", f"{ours}/bias", same))


TORCHVISION: tuple[Rule, ...] = (
    *(rule for number, block in zip(TORCH, BLOCKS, strict=True) for rule in _torch(rf"features\.{number}", block)),
    *_torch(r"classifier\.0", HEAD[0], flattened_kernel),
    *_torch(r"classifier\.3", HEAD[1]),
    *_torch(r"classifier\.6", HEAD[2]),
)
RULES: tuple[Rule, ...] = (
    *TORCHVISION,
    *_keras(BLOCKS[0], 0, "conv2d", BLOCKS[0], caffe_kernel),
    *(rule for i, block in enumerate(BLOCKS[1:], 1) for rule in _keras(block, i, "conv2d", block)),
    *(rule for i, layer in enumerate(("fc1", "fc2", "predictions")) for rule in _keras(layer, i, "dense", HEAD[i])),
)
