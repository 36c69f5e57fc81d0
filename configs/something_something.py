"""174 actions told apart by their motion (Something-Something V2): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/something_something.py --config.data.source=something_something:/data/ssv2

not run: needs Something-Something V2 (its json files, 20bn-something-something-v2/*.webm). Its test labels are not
published: the official validation is the test split here, and val is cut out of train.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="something_something:/data/ssv2", num_frames=16, sampling="uniform", resize=256, size=224)
  c.augment.flip = 0.0  # should augmentation be switched on: some classes are "left to right"
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=20)
  return c
