"""Head-only fine-tuning of EfficientNet-Lite0 (ImageNet), each frame by itself, on the simulated echocardiography cine.

2 CPU cores shared with much other work, 8 min 45 s without controls (91 s of processor time), test accuracy 0.41
[0.34, 0.48] per video, 0.47 [0.38, 0.57] per simulated patient: a mean over frames knows nothing of their order.

  python -m vft.main --config=configs/medical_lite0.py --config.controls='()'

Other heads on the same trunk, each run once; by validation loss the first is the best, and none is below ln 3 = 1.099,
the loss of a guess. Validation loss, then test accuracy per video and per patient:
  tcn, depth 3, dropout 0.5, lr 3e-4, 40 epochs          1.137   0.43 [0.36, 0.51]   0.46 [0.36, 0.56]
  linear (this file)                                     1.161   0.41 [0.34, 0.48]   0.47 [0.38, 0.57]
  transformer, depth 1, dropout 0.2, lr 1e-4, 16 epochs  1.181   0.47 [0.41, 0.54]   0.54 [0.44, 0.64]
  tcn, depth 2, lr 1e-3, 30 epochs                       1.261   0.41 [0.33, 0.50]   0.36 [0.27, 0.46]
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
