"""Figures of the report, as the text of their SVG."""
import re

import numpy as np

from vft.report import plots


def texts(svg: object) -> list[str]:
  return re.findall(r"<text[^>]*>([^<]*)</text>", str(svg))


def test_numbers_of_an_axis_and_names_keep_all_their_digits():
  lines = [{"step": i, "split": "val", "loss": 0.690 + 0.0004 * i} for i in range(10)]
  ticks = [float(t) for t in texts(plots.curves("c", lines, "loss", "loss", None)) if t.startswith("0.6")]
  assert len(ticks) > 3 and len(set(ticks)) == len(ticks)
  truth = np.array([0.001, 0.002, 0.003])
  assert "bias +0.000233" in texts(plots.bland_altman("b", truth, np.array([0.0012, 0.0022, 0.0033])))
  said = plots.strip("s", ["1.2345", "#010101"], np.array([0, 1]), np.array([0.2, 0.8]), "p", chance=None, unit="video")
  assert {"1.2345 (1)", "#010101 (1)"} <= set(texts(said))
