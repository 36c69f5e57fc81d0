"""torchvision's R(2+1)D-18."""
from tests.golden import make
from tests.golden.originals import video_resnet_r3d


def build(full: bool) -> make.Original:
  return video_resnet_r3d.original("r2plus1d_18", full)
