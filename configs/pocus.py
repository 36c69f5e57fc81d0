"""COVID-19, other pneumonia or a healthy lung by ultrasound (COVID-19 POCUS): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/pocus.py --config.data.source=pocus:/data/covid19_ultrasound/data

not run: needs `data` of github.com/jannisborn/covid19_ultrasound (pocus_videos/, dataset_metadata.csv). Sources of the
web differ in probe, crop and frame rate, and by class: a high figure may come from the source of a video. The few
videos of viral pneumonia are a class of their own.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="pocus:/data/covid19_ultrasound/data", num_frames=16, fps=8.0, resize=256, size=224)
  c.data.options = dict(probe="convex")  # convex | linear | both
  c.augment.update(presets.ULTRASOUND)
  c.augment.update(copies=4)  # so that features of the frozen trunk can be kept
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.loss.update(class_weights="effective")
  c.train.update(batch=16, epochs=60, eval_every=5)
  c.eval.update(views=3)
  return c
