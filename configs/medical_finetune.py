"""The last two blocks of I3D and the head, at different rates, on the simulated echocardiography cine.

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
