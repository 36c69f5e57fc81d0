"""The figures of a report, each an SVG for the page."""
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import sklearn.metrics
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from vft.report.svg import CLASSES, DASHES, SOFT, TEXT, draw

MOST = 8  # curves in one figure
POINTS = 400  # of a curve or a cloud: more cannot be told apart
BINS = 10  # of a reliability curve
COLUMNS = 5  # of the legend of a timeline


def short(name: str, most: int = 20) -> str:
  """A name that fits an axis; $ would start a formula."""
  name = name.replace("_", " ") if len(name) <= most else f"{name[:most - 1]}…".replace("_", " ")
  return name.replace("$", r"\$")


def _some(count: int, most: int = POINTS) -> np.ndarray:
  """At most so many of 0 .. count - 1, evenly spread, the first and the last among them."""
  return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, int)


def _line(axes: Axes, i: int, x: Any, y: Any, **options: Any) -> None:
  keep = _some(len(x))
  style: Any = DASHES[i % len(DASHES)]
  axes.plot(np.asarray(x)[keep], np.asarray(y)[keep], color=CLASSES[i % len(CLASSES)], linestyle=style, **options)


def curves(name: str, lines: Sequence[Mapping[str, Any]], key: str, label: str, best: int | None) -> Markup | None:
  """A figure against the steps, in training and validation, from the lines of metrics.jsonl; None without any."""
  of = {split: [(r["step"], r[key]) for r in lines if r.get("split") == split and r.get(key) is not None]
        for split in ("train", "val")}
  if not any(of.values()):
    return None

  def paint(axes: Axes) -> None:
    for i, (split, points) in enumerate(of.items()):
      if points:
        few = {"marker": "o", "markersize": 3.5} if len(points) < 15 else {}
        _line(axes, i, *zip(*points, strict=True), label={"train": "training", "val": "validation"}[split], **few)
    if best is not None:
      axes.axvline(best, color=SOFT, linewidth=0.9, linestyle=":", label="chosen")
    axes.set(xlabel="step", ylabel=label)
    axes.grid(axis="y")
    axes.legend()
  last = "; ".join(f"{split} ends at {points[-1][1]:.3g}" for split, points in of.items() if points)
  return draw(name, f"{label} against the step: {last}.", paint)


def roc(name: str, scores: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Markup:
  """{class: (is it (n,), probability (n,))} -> receiver operating characteristics."""
  found = {c: sklearn.metrics.roc_curve(y, p) for c, (y, p) in scores.items()}
  areas = {c: sklearn.metrics.auc(*f[:2]) for c, f in found.items()}

  def paint(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    for i, (c, (false, true, _)) in enumerate(found.items()):
      _line(axes, i, false, true, label=f"{short(c)}: {areas[c]:.2f}")
    _square(axes, "1 - specificity", "sensitivity", "area under the curve")
  return draw(name, "ROC curves; areas: " + ", ".join(f"{c} {a:.2f}" for c, a in areas.items()), paint, 3.6)


def precision_recall(name: str, scores: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> Markup:
  """As `roc`: precision against recall."""
  found = {c: sklearn.metrics.precision_recall_curve(y, p) for c, (y, p) in scores.items()}
  means = {c: sklearn.metrics.average_precision_score(*scores[c]) for c in scores}

  def paint(axes: Axes) -> None:
    for i, (c, (precision, recall, _)) in enumerate(found.items()):
      _line(axes, i, recall, precision, label=f"{short(c)}: {means[c]:.2f}", drawstyle="steps-post")
      share = float(np.mean(scores[c][0]))
      axes.plot([0, 0.03], [share, share], color=CLASSES[i % len(CLASSES)], linewidth=2)
    _square(axes, "recall (sensitivity)", "precision", "average precision (tick: by chance)")
  return draw(name, "Precision against recall; average precision: "
              + ", ".join(f"{c} {m:.2f}" for c, m in means.items()), paint, 3.6)


def reliability(name: str, before: tuple[np.ndarray, np.ndarray], after: tuple[np.ndarray, np.ndarray] | None,
                said: str) -> Markup:
  """(probability (n,), was it right (n,)) in bins of equal width, before and after calibration."""
  found = [(label, *_bins(*of)) for label, of in (("as trained", before), ("calibrated", after)) if of]

  def paint(axes: Axes) -> None:
    axes.plot([0, 1], [0, 1], color=SOFT, linewidth=0.8, linestyle=":")
    for i, (label, confidence, right, count) in enumerate(found):
      _line(axes, i, confidence, right, label=label)
      axes.scatter(confidence, right, s=8 + 60 * count / count.max(), color=CLASSES[i], linewidth=0, alpha=0.85,
                   marker="os"[i])
    _square(axes, said, "share that is right", "larger marks: more cases")
  words = "; ".join(f"{label}: " + ", ".join(f"{r:.2f} right at {c:.2f}" for c, r in zip(cs, rs, strict=True))
                    for label, cs, rs, _ in found)
  return draw(name, f"Reliability. {words}", paint, 3.6)


def _bins(p: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  place = np.minimum((p * BINS).astype(int), BINS - 1)
  count = np.bincount(place, minlength=BINS)
  there = count > 0
  mean, share = (np.bincount(place, x, BINS)[there] / count[there] for x in (p, right))
  return mean, share, count[there]


def _square(axes: Axes, x: str, y: str, legend: str) -> None:
  axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x, ylabel=y, aspect="equal")
  axes.grid()
  figure: Any = axes.figure
  figure.legend(loc="outside lower center", ncols=2, title=legend, title_fontsize=7.5)


def strip(name: str, names: Sequence[str], true: np.ndarray, values: np.ndarray, said: str, *, chance: float | None,
          unit: str) -> Markup:
  """A row for each true class (n,): a point for each patient or video at its value (n,) in 0..1."""
  shown = [k for k in range(len(names)) if (true == k).any()][:2 * MOST]

  def paint(axes: Axes) -> None:
    rng = np.random.default_rng(0)
    for row, k in enumerate(shown):
      x = values[true == k]
      x = np.sort(x)[_some(len(x))]
      axes.scatter(x, row + rng.uniform(-0.28, 0.28, len(x)), s=11, color=CLASSES[row % len(CLASSES)], alpha=0.65,
                   linewidth=0)
      axes.plot([np.median(values[true == k])] * 2, [row - 0.38, row + 0.38], color=TEXT, linewidth=1.6)
    if chance is not None:
      axes.axvline(chance, color=SOFT, linewidth=0.9, linestyle=":")
    axes.set_yticks(range(len(shown)), [f"{short(names[k])} ({(true == k).sum()})" for k in shown])
    axes.set(xlabel=said, xlim=(-0.03, 1.03), ylim=(len(shown) - 0.5, -0.5))
    axes.grid(axis="x")
  words = ", ".join(f"{names[k]}: {np.median(values[true == k]):.2f}" for k in shown)
  return draw(name, f"{said} of each {unit}, by true class; medians: {words}", paint, 0.9 + 0.48 * len(shown))


def agreement(name: str, truth: np.ndarray, said: np.ndarray) -> Markup:
  """Predicted against true numbers (n,)."""
  keep, low, high = _some(len(truth)), float(min(truth.min(), said.min())), float(max(truth.max(), said.max()))

  def paint(axes: Axes) -> None:
    axes.plot([low, high], [low, high], color=SOFT, linewidth=0.8, linestyle=":")
    axes.scatter(truth[keep], said[keep], s=12, color=CLASSES[0], alpha=0.65, linewidth=0)
    axes.set(xlabel="true", ylabel="predicted")
    axes.grid()
  return draw(name, f"Predicted against true, {len(truth)} cases from {low:.3g} to {high:.3g}", paint, 3.2)


def bland_altman(name: str, truth: np.ndarray, said: np.ndarray) -> Markup:
  """Differences against means, with their mean and 95 % limits of agreement (doi:10.1016/S0140-6736(86)90837-8)."""
  mean, gap = (truth + said) / 2, said - truth
  bias, spread = float(gap.mean()), float(1.96 * gap.std(ddof=1)) if len(gap) > 1 else 0.0
  keep = _some(len(gap))

  def paint(axes: Axes) -> None:
    axes.scatter(mean[keep], gap[keep], s=12, color=CLASSES[0], alpha=0.65, linewidth=0)
    for y, words in ((bias, "bias"), (bias - spread, "lower limit"), (bias + spread, "upper limit")):
      axes.axhline(y, color=TEXT, linewidth=0.9, linestyle="-" if y == bias else "--")
      axes.annotate(f"{words} {y:+.3g}", (1, y), xycoords=("axes fraction", "data"), ha="right", va="bottom",
                    fontsize=7, color=TEXT)
    axes.set(xlabel="mean of predicted and true", ylabel="predicted - true")
    axes.grid(axis="y")
  return draw(name, f"Bland-Altman: bias {bias:+.3g}, 95 % limits of agreement {bias - spread:+.3g} to "
              f"{bias + spread:+.3g}", paint, 3.2)


def timeline(name: str, video: str, truth: np.ndarray, said: np.ndarray, fps: float, names: Sequence[str]) -> Markup:
  """A video's phases (S,), true above predicted; -1 is not labelled."""
  right = float((truth == said)[truth >= 0].mean())
  unit, scale = ("minutes", 60) if len(truth) / fps > 120 else ("seconds", 1)
  seen = [int(k) for k in np.unique([truth, said]) if k >= 0]

  def paint(axes: Axes) -> None:
    for row, phases in enumerate((truth, said)):
      cuts = np.flatnonzero(np.diff(phases)) + 1
      for start, end in zip([0, *cuts], [*cuts, len(phases)], strict=True):
        k = int(phases[start])
        if k >= 0:
          axes.barh(row, (end - start) / fps / scale, left=start / fps / scale, height=0.8, **_bar(k))
    axes.set_yticks([0, 1], ["true", "predicted"])
    axes.set(ylim=(1.5, -0.5), xlabel=unit, xlim=(0, len(truth) / fps / scale))
    axes.spines["left"].set_visible(False)
    axes.tick_params(left=False)
    figure: Any = axes.figure
    figure.legend(handles=[Patch(label=short(names[k]), **_bar(k)) for k in seen], loc="outside lower center",
                  ncols=COLUMNS)
  return draw(name, f"Phases of {video}: {right:.0%} of the labelled moments are right", paint,
              1.15 + 0.17 * -(-len(seen) // COLUMNS), 7.4)


def _bar(k: int) -> dict[str, Any]:
  """How class k is painted; there are more classes than colours."""
  return dict(color=CLASSES[k % len(CLASSES)], alpha=1 if k < len(CLASSES) else 0.55, linewidth=0)


def forest(name: str, rows: Sequence[tuple[str, Mapping[str, Any]]], label: str) -> Markup:
  """(name, {value, low, high}) from top to bottom: values with their intervals."""
  def paint(axes: Axes) -> None:
    for i, (_, f) in enumerate(rows):
      if f.get("value") is None:
        continue
      colour = CLASSES[0] if i == 0 else SOFT
      if f.get("low") is not None:
        axes.plot([f["low"], f["high"]], [i, i], color=colour, linewidth=2.4, solid_capstyle="butt")
      axes.plot(f["value"], i, "o" if i == 0 else "s", color=colour, markersize=6)
    axes.set_yticks(range(len(rows)), [short(n, 26) for n, _ in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel=label)
    axes.grid(axis="x")
  words = "; ".join(f"{n}: {f['value']:.2f}" for n, f in rows if f.get("value") is not None)
  return draw(name, f"{label}, 95 % intervals. {words}", paint, 0.75 + 0.3 * len(rows))

