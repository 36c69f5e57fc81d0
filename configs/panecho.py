"""Ejection fraction from apical four-chamber cines (EchoNet-Dynamic): a head on PanEcho's frames and time.

  python -m vft.main --config=configs/panecho.py --config.data.source=echonet_dynamic:/data/EchoNet-Dynamic

not run: needs EchoNet-Dynamic (FileList.csv, Videos/); the weights (not for commercial use) are fetched. PanEcho was
trained on 16 successive frames at any rate; --config.data.fps=50 is that of cines with 50 a second. Its own layer for
EF gives percent, not the deviations that a head learns here, and is left out.
"""
from configs import echoprime


def get_config():
  c = echoprime.get_config()
  c.data.update(fps=50.0, resize=256)
  c.model.update(name="panecho", variant="")
  c.init.update(weights="panecho")
  return c
