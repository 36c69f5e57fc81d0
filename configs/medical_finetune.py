"""The last two blocks of I3D and the head, at different rates, on the simulated echocardiography cine.

Full size not run to the end yet; 30 of its 100 steps ran at 3 to 7 clips/s on 2 busy CPU cores. At variant tiny: tests.

  python -m vft.main --config=configs/medical_finetune.py
"""
from configs import medical


def get_config():
  c = medical.get_config()
  c.groups = {**c.groups, "blocks": dict(train=True, lr=1e-4, wd=1e-4, schedule="cosine")}
  c.rules = (("head/.*", "head"), ("mixed_5[bc]/.*", "blocks"), (".*", "trunk"))
  c.augment.update(enabled=True)
  c.train.update(batch=16, epochs=5, eval_every=1)
  c.controls = ()
  return c
