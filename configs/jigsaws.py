"""Gestures of robotic suturing (JIGSAWS), each cut out of its trial: a head on I3D, Kinetics-400; one surgeon left out.

  python -m vft.main --config=configs/jigsaws.py --config.data.source=jigsaws:/data/JIGSAWS --config.data.options.fold=1

not run: needs JIGSAWS (Suturing/ with video/, transcriptions/ and its meta file). A published figure is the mean over
the folds: run 1 to 8. scheme="LOSO", folds 1 to 5, leaves out one trial of each surgeon instead.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="jigsaws:/data/JIGSAWS", num_frames=16, fps=10.0, resize=256, size=224)
  c.data.options = dict(task="Suturing", capture=1, scheme="LOUO", fold=1)
  c.tasks = dict(gesture=dict(kind="single", column="gesture"))
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30, eval_every=2)
  return c
