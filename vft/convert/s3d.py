"""torchvision's S3D -> our names.

The file https://download.pytorch.org/models/s3d-d76dad2f.pth and the accuracy that torchvision 0.29.1
(models/video/s3d.py) states for it: Kinetics-400 top-1 68.368, top-5 88.050, one clip a video of 128 frames at 15 Hz,
224 x 224. The eight digits are the first of the sha256.

`features` is one sequence of blocks and pools there: a block's number counts the pools before it.
"""
from vft.convert.rules import Rule, same, torch_batch_norm, torch_kernel, torch_pointwise

AT = r"(?:state_dict/|module\.)*"
MIXED = {"3b": 5, "3c": 6, "4b": 8, "4c": 9, "4d": 10, "4e": 11, "4f": 12, "5b": 14, "5c": 15}


def _unit(theirs: str, ours: str, time: str = "") -> tuple[Rule, ...]:
  return ((theirs + r"\.0\.weight", f"{ours}/conv{time}/kernel", torch_kernel),
          *torch_batch_norm(theirs + r"\.1", f"{ours}/bn{time}"))


def _pair(theirs: str, ours: str) -> tuple[Rule, ...]:
  return *_unit(theirs + r"\.0", ours), *_unit(theirs + r"\.1", ours, "_time")


def _mixed(theirs: str, ours: str) -> tuple[Rule, ...]:
  return (*_unit(theirs + r"\.branch0", f"{ours}/branch_0"), *_unit(theirs + r"\.branch3\.1", f"{ours}/branch_3"),
          *(rule for n in (1, 2) for rule in (*_unit(theirs + rf"\.branch{n}\.0", f"{ours}/branch_{n}_a"),
                                              *_pair(theirs + rf"\.branch{n}\.1", f"{ours}/branch_{n}_b"))))


RULES: tuple[Rule, ...] = (
    *_pair(AT + r"features\.0", "conv_1a"),
    *_unit(AT + r"features\.2", "conv_2b"),
    *_pair(AT + r"features\.3", "conv_2c"),
    *(rule for name, number in MIXED.items() for rule in _mixed(AT + rf"features\.{number}", f"mixed_{name}")),
    (AT + r"classifier\.1\.weight", "head/label/kernel", torch_pointwise),
    (AT + r"classifier\.1\.bias", "head/label/bias", same),
)
