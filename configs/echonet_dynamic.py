"""Ejection fraction from apical four-chamber cines (EchoNet-Dynamic): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/echonet_dynamic.py --config.data.source=echonet_dynamic:/data/EchoNet-Dynamic

not run: needs EchoNet-Dynamic (FileList.csv, Videos/). ESV and EDV are columns, too: add them to c.tasks.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="echonet_dynamic:/data/EchoNet-Dynamic", num_frames=32, fps=25.0, resize=128, size=112)
  c.tasks = dict(EF=dict(kind="regression"))  # percent
  c.augment.update(presets.ULTRASOUND)
  c.augment.update(copies=4)  # so that features of the frozen trunk can be kept
  c.model.update(name="i3d", head="linear")
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30, eval_every=3, select="mae")
  c.eval.update(views=3)  # 32 frames at 25 Hz are one or two beats of a longer cine
  return c
