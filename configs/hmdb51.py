"""51 actions (HMDB51, one of its three official splits): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/hmdb51.py --config.data.source=hmdb51:/data/HMDB51

not run: needs HMDB51 (a folder per class, testTrainMulti_7030_splits/). Published figures are means over the three
splits. Val is cut out of train by clip: clips of one film may be in both.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="hmdb51:/data/HMDB51", num_frames=32, fps=12.5, resize=256, size=224)
  c.data.options = dict(split=1)  # 1 | 2 | 3
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30)
  c.eval.update(views=3)
  return c
