r"""The last two blocks of I3D and the head, at different rates, on the simulated echocardiography cine.

320 training clips, from the head that `vft probe --config=medical` chose: accuracy per patient 0.69 [0.60, 0.78], per
video 0.61 [0.54, 0.68]; the head alone reached 0.69 and 0.60. 25 min 47 s on 2 cores shared with much other work
(load 20), 0.9 % of it waiting for data; peak memory 5.5 GiB. The first command was not run to the end.

  python -m vft.main --config=configs/medical_finetune.py
  vft train --config=medical_finetune --config.init.from_probe=runs/probe/medical --config.data.cache=True \
    --config.augment.time_jitter=False
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
