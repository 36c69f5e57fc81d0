"""101 actions (UCF101, one of its three official splits): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/ucf101.py --config.data.source=ucf101:/data/UCF101

not run: needs UCF101 (UCF-101/, ucfTrainTestlist/). Published figures are means over the three splits.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="ucf101:/data/UCF101", num_frames=32, fps=12.5, resize=256, size=224)
  c.data.options = dict(split=1)  # 1 | 2 | 3
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30)
  c.eval.update(views=3)
  return c
