"""PanEcho as its authors have it; that code is no package: PYTHONPATH=(github.com/CarDS-Yale/PanEcho). It needs timm.

One task, called "label", of 5 classes; small with the narrow ConvNeXt of convnext.py here.
"""
import importlib
from unittest import mock

import numpy as np
import torch
from torchvision import models

from tests.golden import make
from tests.golden.originals import convnext


def build(full: bool) -> make.Original:
  code, task = importlib.import_module("src.models"), importlib.import_module("hubconf").Task
  whole = models.convnext_tiny  # no weights are fetched
  with mock.patch.object(models, "convnext_tiny", lambda weights: whole() if full else convnext.small()):
    encoder = code.FrameTransformer("convnext_tiny", 8, 4 if full else 1, 0.0, "mean", 16 if full else 4)
  tasks = [task("label", "multi-class_classification", np.array(list("abcde")))]
  module, kept = code.MultiTaskModel(encoder, encoder.encoder.n_features, tasks, 0.25, activations=False), {}
  encoder.transformer.layers[0].register_forward_hook(lambda _, inputs, out: kept.update(mid=out))
  table = encoder.time_encoder.pe.detach().clone()

  def run(video: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    encoder.time_encoder.pe.data = table.to(video.dtype)  # a formula: not of the seeded weights
    return module(video.movedim(-1, 1))["label"], kept["mid"]
  model = dict(name="panecho", variant="" if full else "tiny", num_classes=5)
  return make.Original(module, run, (1, 16, 224, 224, 3) if full else (2, 4, 45, 54, 3), model, "time_block_00",
                       "encoder.encoder.model.features.0.0.weight", "CarDS-Yale/PanEcho 836c46e")
