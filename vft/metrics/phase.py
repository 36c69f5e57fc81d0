"""Figures of phase recognition: a label for each frame of whole procedures, in four protocols, and of its segments.

Protocols differ in what is averaged and in how strict a boundary is; papers often do not say which one they used
(arXiv:2305.13961), so all four are given. Strict counts a frame as it is. Relaxed forgives, within `boundary_s` of a
change of phase, what the next or the last phase would be: a transition that is predicted early or late.

  video/...: of each phase and video, the mean over the videos in which the phase occurs, then the mean over phases.
  frame/...: from the frames of all videos together, then the mean over the phases that occur.
"""
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from vft.errors import ConfigError, DataError, did_you_mean
from vft.metrics.segments import OVERLAPS, edit_score, segment_hits, segments

Tolerated = Callable[[int, int, int], tuple[tuple[int, ...], tuple[int, ...]]]


def figures(videos: Sequence[tuple[Any, Any]], *, classes: Sequence[str], fps: float | Sequence[float],
            boundary_s: float = 10.0, rule: str = "neighbours", as_published: bool = False) -> dict[str, float | None]:
  """Videos of (labels (S,), predicted (S,)) -> {metric: value}, all as shares of 1; frames labelled -1 do not count.

  Args:
    videos: one pair of arrays per procedure, in the order of time.
    classes: names of the K phases.
    fps: labels per second, of each video or of all; it need not be whole.
    boundary_s: of the relaxed protocols, in seconds.
    rule: which phases a relaxed boundary forgives, see `RULES`.
    as_published: repeat the fault of the evaluation script behind most relaxed figures of Cholec80, to compare with
      them: what is early at the end of a phase is forgiven at its start (github.com/YuemingJin/TMRNet, issue 8).

  Metrics: {video, frame}/{strict, relaxed}/{accuracy, precision, recall, jaccard, f1}; edit and f1@{10, 25, 50}, the
  segmental ones (arXiv:1903.01945). Raises ConfigError on an unknown rule, DataError on videos that do not fit.
  """
  tables = count(videos, classes=classes, fps=fps, boundary_s=boundary_s, rule=rule, as_published=as_published)
  values = summarise(tables, np.ones((1, len(videos))))
  return {k: None if np.isnan(v[0]) else float(v[0]) for k, v in values.items()}


def count(videos: Sequence[tuple[Any, Any]], *, classes: Sequence[str], fps: float | Sequence[float],
          boundary_s: float = 10.0, rule: str = "neighbours", as_published: bool = False) -> dict[str, np.ndarray]:
  """What `summarise` needs of each of V videos; arguments as those of `figures`.

  "frames" (V, 3): labelled, right, right when relaxed. "strict", "relaxed" (V, K, 4): of each phase, frames that are
  right, predicted, labelled, either. "edit" (V,). "segments" (V, 3, 3): of each overlap, true and false positives and
  false negatives.
  """
  rates = np.broadcast_to(np.asarray(fps, np.float64), (len(videos),))
  found = [_count_video(y, guess, len(classes), max(round(boundary_s * float(rate)), 0), rule, as_published)
           for (y, guess), rate in zip(videos, rates, strict=True)]
  if not sum(part["frames"][0] for part in found):
    raise DataError(f"There are no labelled frames to measure in {len(videos)} videos. Look at the column of phases.")
  return {k: np.array([part[k] for part in found]) for k in found[0]}


def summarise(tables: Mapping[str, np.ndarray], w: np.ndarray) -> dict[str, np.ndarray]:
  """What `count` gives, and how often each video counts (R, V) -> {metric: (R,)}, nan where not defined."""
  size, right, forgiven = (w @ tables["frames"]).T
  out = {}
  for unit in ("video", "frame"):
    for how, hits in (("strict", right), ("relaxed", forgiven)):
      counts = tables[how]
      shares = tables["frames"][:, 1 if how == "strict" else 2] / np.maximum(tables["frames"][:, 0], 1)
      some = (tables["frames"][:, 0] > 0).astype(np.float64)
      out[f"{unit}/{how}/accuracy"] = _divide(hits, size) if unit == "frame" else _divide(w @ (shares * some), w @ some)
      if unit == "frame":
        each = _rates(np.tensordot(w, counts, 1))  # each (R, K)
      else:
        of_video = _rates(counts)  # each (V, K)
        each = {k: _divide(w @ np.nan_to_num(v), w @ (~np.isnan(v)).astype(np.float64)) for k, v in of_video.items()}
      out |= {f"{unit}/{how}/{k}": _mean(v) for k, v in each.items()}
  defined = ~np.isnan(tables["edit"])
  out["edit"] = _divide(w @ np.nan_to_num(tables["edit"]), w @ defined.astype(np.float64))
  hit, false, missed = np.moveaxis(np.tensordot(w, tables["segments"], 1), 2, 0)  # each (R, 3)
  for i, overlap in enumerate(OVERLAPS):
    out[f"f1@{100 * overlap:.0f}"] = _divide(2 * hit[:, i], 2 * hit[:, i] + false[:, i] + missed[:, i])
  return out


def relaxed(labels: np.ndarray, guesses: np.ndarray, boundary: int, tolerated: Tolerated,
            as_published: bool = False) -> np.ndarray:
  """Labels and predicted (S,), boundary in frames -> (S,) bool: right, or forgiven near a change of phase."""
  right = labels == guesses
  starts, ends, ids = segments(labels)
  around = [-1, *ids.tolist(), -1]
  for i, (start, end) in enumerate(zip(starts, ends, strict=True)):
    n = min(boundary, end - start)  # a phase shorter than the boundary is a boundary all over
    late, early = tolerated(*around[i:i + 3])
    right[start:start + n] |= np.isin(guesses[start:start + n], late)
    forgiven = np.isin(guesses[end - n:end], early)
    right[start if as_published else end - n:][:n] |= forgiven
  return right & (labels >= 0)


def _neighbours(before: int, label: int, after: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
  """The phase that was before, and the one that comes after, in this video."""
  return (before,), (after,)


def _by_number(forward: tuple[int, ...], both: tuple[int, ...]) -> Tolerated:
  """Phases by their number: one back and one ahead; two ahead of those in `forward`; two both ways of `both`."""
  def tolerated(before: int, label: int, after: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    late = (label - 1, label - 2) if label in both else (label - 1,)
    return late, ((label + 1, label + 2) if label in forward + both else (label + 1,))
  return tolerated


# What is forgiven at the start and at the end of a phase. cholec80 and m2cai16: the phases of those data sets in their
# published order, as in github.com/YuemingJin/TMRNet, code/eval/result/matlab-eval/Evaluate.m and Evaluate_m2cai.m
# (dissection and packaging may be followed by either of two). neighbours: any order, the phases before and after.
RULES: dict[str, Tolerated] = {
    "neighbours": _neighbours, "cholec80": _by_number((3, 4), (5, 6)), "m2cai16": _by_number((4, 5), (6, 7))}


def _count_video(labels: Any, guesses: Any, n_classes: int, boundary: int, rule: str,
                 as_published: bool) -> dict[str, Any]:
  if rule not in RULES:
    raise ConfigError(f"Unknown rule of a relaxed boundary {rule!r}; known: {list(RULES)}{did_you_mean(rule, RULES)}.")
  y, guess = np.asarray(labels).astype(np.int64), np.asarray(guesses).astype(np.int64)
  if y.ndim != 1 or y.shape != guess.shape or y.max(initial=-1) >= n_classes:
    raise DataError(f"A video needs labels and predicted phases (S,) below {n_classes}, got {y.shape}, {guess.shape}, "
                    f"the highest label {y.max(initial=-1)}.")
  if ((guess < 0) | (guess >= n_classes))[y >= 0].any():
    raise DataError(f"Predicted phases must lie from 0 to {n_classes - 1}, found {np.unique(guess)[:10].tolist()}.")
  guess = np.where(y >= 0, guess, -1)  # unlabelled frames are the background of MS-TCN: they end a segment
  forgiven, ids = relaxed(y, guess, boundary, RULES[rule], as_published), np.arange(n_classes)[:, None]
  true, said = y == ids, guess == ids  # (K, S)
  def table(right: np.ndarray) -> np.ndarray:
    return np.stack([((true | said) & right).sum(1), said.sum(1), true.sum(1), (true | said).sum(1)], 1)
  right = (y == guess) & (y >= 0)
  return dict(
      frames=np.array([(y >= 0).sum(), right.sum(), forgiven.sum()]), strict=table(right),
      relaxed=table(forgiven), edit=edit_score(y, guess),
      segments=np.array([segment_hits(y, guess, overlap) for overlap in OVERLAPS]))


def _rates(counts: np.ndarray) -> dict[str, np.ndarray]:
  """Right, predicted, labelled, either (..., K, 4) -> shares (..., K), nan where the phase has no label.

  Relaxed ones could pass 1, as frames may count for two phases: cut, as the published script does. A phase that is
  never predicted has no precision, and an F1 of 0.
  """
  right, said, true, either = np.moveaxis(counts.astype(np.float64), -1, 0)
  precision = np.where((true > 0) & (said + right > 0), np.minimum(_divide(right, said, 1.0), 1), np.nan)
  recall, jaccard = (np.minimum(_divide(right, part), 1) for part in (true, either))
  f1 = _divide(2 * np.nan_to_num(precision) * recall, np.nan_to_num(precision) + recall, 0.0)
  return dict(precision=precision, recall=recall, jaccard=np.where(true > 0, jaccard, np.nan),
              f1=np.where(true > 0, f1, np.nan))


def _divide(top: np.ndarray, bottom: np.ndarray, empty: float = np.nan) -> np.ndarray:
  return np.divide(top, bottom, out=np.full(np.broadcast_shapes(np.shape(top), np.shape(bottom)), empty),
                   where=bottom > 0)


def _mean(values: np.ndarray) -> np.ndarray:
  """(R, K) -> (R,): the mean of what is defined."""
  return _divide(np.nansum(values, axis=1), (~np.isnan(values)).sum(1).astype(np.float64))
