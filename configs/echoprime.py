"""Ejection fraction from apical four-chamber cines (EchoNet-Dynamic): a head on EchoPrime's video encoder.

  python -m vft.main --config=configs/echoprime.py --config.data.source=echonet_dynamic:/data/EchoNet-Dynamic

not run: needs EchoNet-Dynamic (FileList.csv, Videos/) and the file weights/echo_prime_encoder.pt in model_data.zip of
https://github.com/echonet/EchoPrime (academic use), given by --config.init.weights=FILE or put where the error says.
The encoder is an MViTv2-S on 16 frames of 224 x 224, every second; its projection to 512, by which cines were compared
with reports, is left out: --config.model.head=original with 512 outputs is that embedding.
"""
from configs import default, presets


def get_config():
  c = default.get_config()
  c.data.update(source="echonet_dynamic:/data/EchoNet-Dynamic", num_frames=16, fps=25.0, resize=224, size=224)
  c.tasks = dict(EF=dict(kind="regression"))  # percent
  c.augment.update(presets.ULTRASOUND)
  c.augment.update(copies=4)  # so that features of the frozen trunk can be kept
  c.model.update(name="mvit", variant="echoprime", head="linear")
  c.init.update(weights="echoprime", keep_init=("head/.*",))
  c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=1e-3, wd=1e-3, schedule="cosine"))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch=32, epochs=30, eval_every=3, select="mae")
  c.eval.update(views=3)
  return c
