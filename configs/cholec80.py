"""Phases of cholecystectomy (Cholec80): a causal TCN of two stages over frames by EfficientNet-Lite0, one a second.

  python -m vft.main --config=configs/cholec80.py --config.data.source=cholec80:/data/cholec80

not run: needs Cholec80 (videos/, phase_annotations/, tool_annotations/). Phases stand in their published order, by
which the relaxed figures go; --config.data.options.split=40/40 or 32/8/40 for other published splits.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="cholec80:/data/cholec80", num_frames=1, fps=1.0, resize=256, size=224)
  c.data.options = dict(split="40/8/32")  # videos of train, val and test: 40/40 | 32/8/40 | 40/8/32
  c.tasks = dict(phase=dict(kind="single", column="phase", classes=(
      "Preparation", "CalotTriangleDissection", "ClippingCutting", "GallbladderDissection", "GallbladderPackaging",
      "CleaningCoagulation", "GallbladderRetraction")))
  c.sequence.update(unit="video", fps=1.0, boundary_s=10.0, boundary_rule="cholec80")
  c.model.update(name="efficientnet_lite", variant="lite0", head="tcn", hidden=(64,), depth=9, stages=2, dropout=0.5)
  c.init.update(weights="efficientnet_lite0_imagenet", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=5e-4, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=1, epochs=25)
  return c
