"""inspect.html: one file without scripts or requests; whatever comes from the data set is escaped."""
from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from vft import pages
from vft.contact_sheet.clips import Shown
from vft.contact_sheet.sheet import row_of
from vft.report import clips as moving


def render(title: str, facts: Sequence[str], shown: Sequence[Shown], count: int, simulated: bool) -> str:
  """The page as text."""
  environment = pages.environment("vft.contact_sheet")
  clips: list[dict[str, Any]] = []
  for clip in shown:
    motion, still = moving.encode(clip.strips[0].frames, clip.step_s)
    clips.append({"clip": clip, "whole": _address(clip.whole), "size": clip.whole.shape[1::-1], "motion": motion,
                  "still": still, "strips": [(s, _address(row := row_of(s, count)), row.shape[1::-1])
                                             for s in clip.strips]})
  return environment.get_template("page.html").render(title=title, facts=facts, clips=clips, simulated=simulated)


def _address(pixels: np.ndarray) -> str:
  out = io.BytesIO()
  Image.fromarray(pixels).save(out, "WEBP", quality=88, method=4)
  return f"data:image/webp;base64,{base64.b64encode(out.getvalue()).decode()}"
