"""Runs of one label along a video, and how well predicted runs fit (MS-TCN, arXiv:1903.01945)."""
import numpy as np

OVERLAPS = (0.10, 0.25, 0.50)  # intersection over union


def segments(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Labels (S,) -> starts, ends (exclusive) and labels of runs of one label; runs of -1 are left out."""
  cuts = np.flatnonzero(np.diff(labels)) + 1
  starts, ends = np.r_[0, cuts], np.r_[cuts, len(labels)]
  keep = labels[starts] >= 0 if len(labels) else np.zeros(1, bool)
  return starts[keep], ends[keep], labels[starts[keep]]


def edit_score(labels: np.ndarray, guesses: np.ndarray) -> float:
  """Labels and predicted (S,) -> 1 - edit distance of their runs / the longer number of runs; nan without any."""
  truth, said = segments(labels)[2], segments(guesses)[2]
  if not max(len(truth), len(said)):
    return float("nan")
  place = np.arange(len(said) + 1)
  row = place
  for i, label in enumerate(truth):
    change = np.r_[i + 1, np.minimum(row[1:] + 1, row[:-1] + (said != label))]
    row = np.minimum.accumulate(change - place) + place  # insertions, from left to right
  return 1 - float(row[-1]) / max(len(truth), len(said))


def segment_hits(labels: np.ndarray, guesses: np.ndarray, overlap: float) -> tuple[int, int, int]:
  """Labels and predicted (S,) -> true and false positives and false negatives among runs.

  A predicted run is right where its intersection over union with the best run of its label is at least `overlap` and no
  earlier one took that run (arXiv:1903.01945; as in github.com/yabufarha/ms-tcn, eval.py).
  """
  starts, ends, ids = segments(labels)
  taken = np.zeros(len(ids), bool)
  false = 0
  for start, end, label in zip(*segments(guesses), strict=True):
    common = np.minimum(end, ends) - np.maximum(start, starts)
    shares = np.where(ids == label, common / (np.maximum(end, ends) - np.minimum(start, starts)), -1.0)
    best = int(shares.argmax()) if len(ids) else -1
    if best >= 0 and shares[best] >= overlap and not taken[best]:
      taken[best] = True
    else:
      false += 1
  return int(taken.sum()), false, int((~taken).sum())
