"""Ejection fraction and image quality from half a heartbeat (CAMUS, both views): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/camus.py --config.data.source=camus:/data/CAMUS_public

not run: needs CAMUS as NIfTI (database_nifti/, database_split/) and nibabel: pip install vft[nifti]. The frame rate is
that of Info_2CH.cfg and Info_4CH.cfg, else data.frame_rate: 16 frames spread over a sequence are the same at any rate.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="camus:/data/CAMUS_public", num_frames=16, sampling="uniform", resize=128, size=112)
  c.data.frame_rate = 50.0  # where an Info file has none
  c.data.options = dict(view="both", fold=0)  # view: both | 2CH | 4CH; fold: 0 = database_split, 1-10 = listSubGroups
  c.tasks = dict(EF=dict(kind="regression"),  # percent
                 ImageQuality=dict(kind="ordinal", classes=("Poor", "Medium", "Good"), weight=0.5))
  c.augment.update(presets.ULTRASOUND)
  c.augment.update(copies=4)  # so that features of the frozen trunk can be kept
  c.model.update(name="i3d", head="linear")
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=60, eval_every=5)
  return c
