"""The classic recipe: a frozen VGG16 on each frame, features flattened, dense 256 and 128, softmax; logits averaged.

No package brings weights of VGG16. With a file of torchvision (.pth) at hand write --config.init.weights=FILE, with one
of Keras (.h5) also --config.model.variant=keras; without, the trunk is random, seeded. With that one, on 2 CPU cores
shared with much other work: 45 min, peak memory 4.9 GiB, test accuracy 0.35 [0.28, 0.44] per video, 0.34 [0.25, 0.43]
per simulated patient, which is chance.

  python -m vft.main --config=configs/vgg16_frames.py --config.controls='()'
"""
from configs import medical


def get_config():
  c = medical.get_config()
  c.model.update(name="vgg16", head="mlp", pool="flatten", temporal="logits", hidden=(256, 128))
  c.init.weights = ""
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=0.0, schedule="constant"))
  c.optim.update(name="adam", warmup=0.0, clip_norm=0.0)
  c.train.update(batch=32, epochs=10, eval_every=1)
  c.controls = ("majority", "single_frame")  # the trunk is random already
  return c
