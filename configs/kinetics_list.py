"""Actions in a data set with lists as those of Kinetics: a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/kinetics_list.py --config.data.source=kinetics_list:/data/kinetics

not run: needs videos and train.csv, val.csv and, if known, test.csv. Without labels of test the official val is tested
on and val is cut out of train; videos that are gone from the web: --config.data.max_bad_fraction=0.1. Kinetics-400
itself is what these weights were trained on.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="kinetics_list:/data/kinetics", num_frames=32, fps=12.5, resize=256, size=224)
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=20)
  c.eval.update(views=3)
  return c
