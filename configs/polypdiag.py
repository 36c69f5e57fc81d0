"""Polyp or normal mucosa (PolypDiag, as packaged with Endo-FM): the last two blocks and the head of I3D, Kinetics-400.

  python -m vft.main --config=configs/polypdiag.py --config.data.source=polypdiag:/data/PolypDiag

not run: needs PolypDiag (splits/, videos/). Its val list is the test split here, as figures were published on it.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="polypdiag:/data/PolypDiag", num_frames=16, fps=12.5, resize=256, size=224)
  c.augment.update(presets.ENDOSCOPY)
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), blocks=dict(train=True, lr=1e-4, wd=1e-4, schedule="cosine"),
                  head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), ("mixed_5[bc]/.*", "blocks"), (".*", "trunk"))
  c.train.update(batch=16, epochs=20)
  c.eval.update(views=4)
  return c
