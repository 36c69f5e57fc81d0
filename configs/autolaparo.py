"""Phases of hysterectomy (AutoLaparo): a causal TCN of two stages over frames by EfficientNet-Lite0, one a second.

  python -m vft.main --config=configs/autolaparo.py --config.data.source=autolaparo:/data/autolaparo

not run: needs AutoLaparo, task 1 (videos/, labels/).
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="autolaparo:/data/autolaparo", num_frames=1, fps=1.0, resize=256, size=224)
  c.tasks = dict(phase=dict(kind="single", column="phase"))
  c.sequence.update(unit="video", fps=1.0, boundary_s=10.0, boundary_rule="neighbours")
  c.model.update(name="efficientnet_lite", variant="lite0", head="tcn", hidden=(64,), depth=9, stages=2, dropout=0.5)
  c.init.update(weights="efficientnet_lite0_imagenet", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=5e-4, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=1, epochs=25)
  return c
