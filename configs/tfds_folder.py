"""A TFDS data set that is already built, of videos as the bytes of their files: a head on I3D, Kinetics-400.

  python -m vft.main --config=configs/tfds_folder.py --config.data.source=tfds:/data/tensorflow_datasets/my_set/1.0.0

not run: needs such a data set, in array_record files.
"""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="tfds:/data/tensorflow_datasets/my_set/1.0.0", num_frames=16, fps=12.5, resize=128, size=112)
  c.data.options = dict(video="video", group="patient", id="id")  # names of features; "" = there is none
  c.model.update(name="i3d", head="linear")
  c.init.update(weights="i3d_k400", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-4, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30)
  return c
