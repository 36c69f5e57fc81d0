"""Head-only fine-tuning of EfficientNet-Lite0 (ImageNet), each frame by itself, on the simulated echocardiography cine.

not run

  python -m vft.main --config=configs/medical_lite0.py
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="tfds:echo_phantom", num_frames=16, fps=16.0, resize=128, size=112)
  c.model.update(name="efficientnet_lite", variant="lite0", head="linear")
  c.init.update(weights="efficientnet_lite0_imagenet", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=3e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=60, eval_every=5)
  return c
