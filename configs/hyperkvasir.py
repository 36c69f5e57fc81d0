"""Findings in gastroscopy and colonoscopy (HyperKvasir's labelled videos): a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/hyperkvasir.py --config.data.source=hyperkvasir:/data/hyper-kvasir

not run: needs HyperKvasir (labeled-videos/ with video-labels.csv). No patients are published: figures are by video, and
videos of one patient may be in train and in test. Some findings have one video only: they are in train, and figures
leave them out. --config.data.options.level=category for four classes, tract for two.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="hyperkvasir:/data/hyper-kvasir", num_frames=16, fps=12.5, resize=256, size=224)
  c.data.options = dict(level="finding")  # what the label is: finding | category | tract
  c.model.update(name="i3d", head="linear", dropout=0.5)
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.loss.update(class_weights="effective")
  c.train.update(batch=32, epochs=50, eval_every=5)
  c.eval.update(views=4)  # videos last from seconds to minutes
  return c
