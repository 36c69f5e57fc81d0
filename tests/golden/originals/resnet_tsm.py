"""TSM ResNet-50 as its authors have it; that code is no package: PYTHONPATH=(a clone of
github.com/mit-han-lab/temporal-shift-module)."""
import importlib

import torch

from tests.golden import make


def build(full: bool) -> make.Original:
  """400 classes and 8 frames of 224 as published; or 5 classes and 4 small frames."""
  classes, video = (400, (1, 8, 224, 224, 3)) if full else (5, (2, 4, 64, 64, 3))
  module = importlib.import_module("ops.models").TSN(classes, video[1], "RGB", base_model="resnet50", pretrain=None,
                                                     is_shift=True, shift_div=8, shift_place="blockres")
  module.eval()
  module.eval = lambda: module  # theirs returns None
  kept = {}
  module.base_model.layer3[0].register_forward_hook(lambda _, inputs, out: kept.update(mid=out.permute(0, 2, 3, 1)))

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return module(video.permute(0, 1, 4, 2, 3).flatten(1, 2)), kept["mid"]  # frames and channels side by side

  return make.Original(module, run, video, dict(name="resnet", variant="50", num_classes=classes, tsm=True),
                       "layer3_00", "base_model.conv1.weight", "mit-han-lab/temporal-shift-module 1f6a834b")
