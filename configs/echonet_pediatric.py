"""Ejection fraction of children (EchoNet-Pediatric), one view, one of ten folds: a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/echonet_pediatric.py --config.data.source=echonet_pediatric:/data/EchoNet-Peds

not run: needs EchoNet-Pediatric (A4C/ and PSAX/, each with FileList.csv and Videos/). The group is the file name up to
its last "-", a rule of users of the data, not of its publishers; where such a patient is in several folds the run
stops: --config.data.official=False then splits by patient.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="echonet_pediatric:/data/EchoNet-Peds", num_frames=32, fps=25.0, resize=128, size=112)
  c.data.options = dict(view="A4C", fold=9)  # view: A4C | PSAX | both; fold: 0 to 9, tested on; the next one validates
  c.tasks = dict(EF=dict(kind="regression"))  # percent
  c.augment.update(presets.ULTRASOUND)
  c.augment.update(copies=4)  # so that features of the frozen trunk can be kept
  c.model.update(name="i3d", head="linear")
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30, eval_every=3, select="mae")
  c.eval.update(views=3)
  return c
