"""Phases of cholecystectomy (Cholec80) as in configs/cholec80.py, over frames by a ResNet-50 trained on surgery.

  python -m vft.main --config=configs/surgery_frames.py --config.data.source=cholec80:/data/cholec80

not run: needs Cholec80 (videos/, phase_annotations/, tool_annotations/). SelfSupSurg (arXiv:2207.00449) learned without
labels from the 40 videos that train here; other weights by --config.init.weights: selfsupsurg_simclr, _swav, _dino, or
surgvlp, hecvl, peskavlp, which learned from lectures with their text (arXiv:2307.15220; a .zip to unpack by hand).
"""
from configs import cholec80


def get_config():
  c = cholec80.get_config()
  c.model.update(name="resnet", variant="50")
  c.init.update(weights="selfsupsurg_moco_v2")
  return c
