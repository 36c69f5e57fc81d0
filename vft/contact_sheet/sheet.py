"""The contact sheet as one picture, for a paper, a chat or a lab book."""
from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vft.contact_sheet.clips import Shown, Strip

SIDE = 112  # pixels of a frame, about
LARGEST = 144
GAP, MARGIN, LEFT = 3, 20, 216  # pixels; LEFT is the column of whole pictures
TITLE, TEXT, SMALL = 22, 15, 13  # sizes of letters
BACK, INK, SOFT, LINE = (255, 255, 255), (28, 32, 36), (96, 100, 108), (217, 220, 225)


def row_of(strip: Strip, count: int) -> np.ndarray:
  """(S, W, 3) uint8: `count` frames of a clip side by side, from its first to its last."""
  picked = np.unique(np.linspace(0, len(strip.frames) - 1, min(count, len(strip.frames))).round().astype(int))
  frames = [_sized(strip.frames[i]) for i in picked]
  between = np.full((frames[0].shape[0], GAP, 3), BACK, np.uint8)
  return np.concatenate([part for frame in frames for part in (frame, between)][:-1], axis=1)


def draw(title: str, facts: Sequence[str], shown: Sequence[Shown], count: int) -> Image.Image:
  """All clips below each other: the whole picture at the left, the strips beside it."""
  rows = [[row_of(strip, count) for strip in clip.strips] for clip in shown]
  width = max(2 * MARGIN + LEFT + max(r.shape[1] for strips in rows for r in strips), 720)
  lines = [line for fact in facts for line in _wrap(fact, width - 2 * MARGIN)]
  heights = [_height(clip, strips) for clip, strips in zip(shown, rows, strict=True)]
  top = MARGIN + TITLE + 14 + len(lines) * (SMALL + 6) + 10
  sheet = Image.new("RGB", (width, top + sum(heights) + MARGIN), BACK)
  pen = ImageDraw.Draw(sheet)
  _write(pen, (MARGIN, MARGIN), title, TITLE, INK, width - 2 * MARGIN, bold=True)
  for i, line in enumerate(lines):
    _write(pen, (MARGIN, MARGIN + TITLE + 14 + i * (SMALL + 6)), line, SMALL, SOFT, width - 2 * MARGIN)
  for clip, strips, height in zip(shown, rows, heights, strict=True):
    pen.line((MARGIN, top, width - MARGIN, top), fill=LINE)
    _clip(sheet, pen, clip, strips, top + 10)
    top += height
  return sheet


def _wrap(text: str, room: int) -> list[str]:
  """Lines of small letters that are no longer than `room`, broken at spaces."""
  lines = [""]
  for word in text.split():
    longer = f"{lines[-1]} {word}" if lines[-1] else word
    if lines[-1] and _font(SMALL, False).getlength(longer) > room:
      lines.append(f"    {word}")
    else:
      lines[-1] = longer
  return lines


def _height(clip: Shown, strips: Sequence[np.ndarray]) -> int:
  beside = sum(s.shape[0] + SMALL + 12 for s in strips)
  return 10 + TEXT + 10 + max(beside, _fit(clip.whole).height + 2 * SMALL + 20) + 8


def _clip(sheet: Image.Image, pen: ImageDraw.ImageDraw, clip: Shown, strips: Sequence[np.ndarray], top: int) -> None:
  wide = sheet.width - 2 * MARGIN
  labels = "; ".join(clip.labels)
  used = _write(pen, (MARGIN, top), labels, TEXT, INK, wide // 2, bold=True)
  rest = "   ".join(part for part in (clip.id, clip.group and f"patient {clip.group}", clip.says) if part)
  _write(pen, (MARGIN + used + 14, top), rest, TEXT, SOFT, wide - used - 14)
  top += TEXT + 10
  whole = _fit(clip.whole)
  _write(pen, (MARGIN, top), "whole picture", SMALL, SOFT, LEFT - 16)
  sheet.paste(whole, (MARGIN, top + SMALL + 6))
  for strip, pixels in zip(clip.strips, strips, strict=True):
    _write(pen, (MARGIN + LEFT, top), strip.says, SMALL, SOFT, wide - LEFT)
    sheet.paste(Image.fromarray(pixels), (MARGIN + LEFT, top + SMALL + 6))
    top += pixels.shape[0] + SMALL + 12


def _fit(whole: np.ndarray) -> Image.Image:
  image = Image.fromarray(whole)
  image.thumbnail((LEFT - 16, LEFT - 16), Image.Resampling.LANCZOS)
  return image


def _sized(frame: np.ndarray) -> np.ndarray:
  """A small frame is enlarged without smoothing, so that its pixels are seen; a large one is made smaller."""
  side = frame.shape[0]
  if side > LARGEST:
    return np.asarray(Image.fromarray(frame).resize((LARGEST, LARGEST), Image.Resampling.LANCZOS))
  times = max(1, round(SIDE / side))
  return frame.repeat(times, axis=0).repeat(times, axis=1)


@functools.cache
def _font(size: int, bold: bool) -> ImageFont.FreeTypeFont:
  """DejaVu, which matplotlib brings: it has Latin, Greek and Cyrillic letters."""
  name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
  return ImageFont.truetype(str(Path(matplotlib.get_data_path(), "fonts", "ttf", name)), size)


def _write(pen: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, colour: tuple[int, int, int],
           room: int, bold: bool = False) -> int:
  """Text on one line, cut with a dot where it would be longer than `room`; returns its width."""
  font = _font(size, bold)
  text = "".join(c if c.isprintable() else " " for c in text)
  if font.getlength(text) > room:
    while text and font.getlength(f"{text}…") > room:
      text = text[:-1]
    text += "…"
  pen.text(place, text, font=font, fill=colour)
  return round(font.getlength(text))
