"""torchvision's MC3-18."""
from tests.golden import make
from tests.golden.originals import video_resnet_r3d


def build(full: bool) -> make.Original:
  return video_resnet_r3d.original("mc3_18", full)
