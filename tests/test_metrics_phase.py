"""Phase figures against cases counted by hand."""
import numpy as np
import pytest

from vft import stats
from vft.errors import ConfigError, DataError
from vft.metrics import phase, segments

CLASSES = ("a", "b", "c")
TRUTH = np.array([0, 0, 0, 0, 1, 1, 1, 1, 2, 2])
GUESS = np.array([0, 0, 0, 1, 1, 0, 1, 1, 1, 2])  # early, late, late; right: 7 of 10


def figures(*videos, classes=CLASSES, fps=1.0, boundary_s=2.0, **options):
  return phase.figures(videos, classes=classes, fps=fps, boundary_s=boundary_s, **options)


def test_one_video_strict():
  got = figures((TRUTH, GUESS))
  for unit in ("video", "frame"):
    assert got[f"{unit}/strict/accuracy"] == 0.7
    assert got[f"{unit}/strict/precision"] == pytest.approx((3 / 4 + 3 / 5 + 1) / 3)
    assert got[f"{unit}/strict/recall"] == pytest.approx((3 / 4 + 3 / 4 + 1 / 2) / 3)
    assert got[f"{unit}/strict/jaccard"] == pytest.approx((3 / 5 + 3 / 6 + 1 / 2) / 3)
    assert got[f"{unit}/strict/f1"] == pytest.approx((6 / 8 + 6 / 9 + 2 / 3) / 3)


def test_one_video_relaxed_by_two_seconds():
  got = figures((TRUTH, GUESS))
  assert all(got[f"{unit}/relaxed/{k}"] == 1 for unit in ("video", "frame") for k in ("accuracy", "jaccard", "recall"))
  near = figures((TRUTH, GUESS), boundary_s=1.0)  # the late frame 5 is the second of its phase
  assert near["video/relaxed/accuracy"] == 0.9
  assert near["video/relaxed/jaccard"] == pytest.approx((4 / 5 + 5 / 6 + 1) / 3)  # right of those in either
  assert near["video/relaxed/precision"] == 1 and near["video/relaxed/recall"] == 1  # 4 / 4; 5 / 4 and 2 / 1 are cut
  none = figures((TRUTH, GUESS), boundary_s=0.0)
  assert all(none[k.replace("strict", "relaxed")] == v for k, v in none.items())


def test_the_published_script_forgives_early_frames_at_the_wrong_end():
  """Frame 3, early, is second of the last two of its phase: the script forgives the second of the first two."""
  assert figures((TRUTH, GUESS), as_published=True)["frame/relaxed/accuracy"] == 0.9
  wrong = np.where(np.arange(10) == 1, 2, GUESS)
  assert figures((TRUTH, wrong))["frame/relaxed/accuracy"] == 0.9  # frame 1 is not
  assert figures((TRUTH, wrong), as_published=True)["frame/relaxed/accuracy"] == 0.9  # frame 1 is, frame 3 is not
  assert phase.relaxed(TRUTH, wrong, 2, phase.RULES["neighbours"], True).tolist() == [True] * 3 + [False] + [True] * 6


def test_seconds_and_not_frames():
  many = np.repeat(TRUTH, 25), np.repeat(GUESS, 25)
  one, fast = figures((TRUTH, GUESS), boundary_s=1.0), figures(many, boundary_s=1.0, fps=25.000001)
  assert one == pytest.approx(fast)
  both = phase.figures([(TRUTH, GUESS), many], classes=CLASSES, fps=(1, 25.000001), boundary_s=1.0)
  assert both["video/relaxed/accuracy"] == pytest.approx(one["video/relaxed/accuracy"])


def test_videos_weigh_alike_or_frames_do():
  """A long video that is right, a short one without phase c that is half right."""
  long, short = np.repeat([0, 1, 2], 10), np.array([0, 0, 1, 1])
  got = figures((long, long), (short, np.array([0, 0, 0, 2])), boundary_s=0.0)
  assert got["video/strict/accuracy"] == (1 + 0.5) / 2
  assert got["frame/strict/accuracy"] == 32 / 34
  assert got["video/strict/recall"] == ((1 + 1) / 2 + (1 + 0) / 2 + 1) / 3  # c occurs in the long one alone
  assert got["frame/strict/recall"] == pytest.approx((1 + 10 / 12 + 1) / 3)
  assert got["video/strict/precision"] == pytest.approx(((1 + 2 / 3) / 2 + 1 + 1) / 3)  # b is not predicted: undefined
  assert got["video/strict/f1"] == pytest.approx(((1 + 4 / 5) / 2 + (1 + 0) / 2 + 1) / 3)  # but its F1 is 0
  assert got["frame/strict/jaccard"] == pytest.approx((12 / 13 + 10 / 12 + 10 / 11) / 3)


@pytest.mark.parametrize("rule, label, place, guess, forgiven", [
    ("cholec80", 1, "start", 0, True), ("cholec80", 1, "end", 2, True), ("cholec80", 1, "end", 3, False),
    ("cholec80", 3, "end", 5, True), ("cholec80", 3, "start", 1, False), ("cholec80", 5, "start", 3, True),
    ("cholec80", 6, "start", 4, True), ("cholec80", 5, "start", 7, False), ("m2cai16", 3, "end", 5, False),
    ("m2cai16", 4, "end", 6, True), ("m2cai16", 7, "start", 5, True), ("neighbours", 3, "end", 4, True),
    ("neighbours", 3, "end", 5, False), ("neighbours", 3, "start", 2, True), ("neighbours", 3, "start", 4, False)])
def test_which_phases_a_boundary_forgives(rule, label, place, guess, forgiven):
  truth = np.repeat(np.arange(8), 5)
  said, at = truth.copy(), 5 * label + dict(start=0, end=4)[place]
  said[at] = guess
  assert phase.relaxed(truth, said, 2, phase.RULES[rule])[at] == forgiven


def test_neighbours_are_those_of_the_video_in_any_order():
  truth, said = np.array([2, 2, 2, 0, 0, 0]), np.array([2, 2, 0, 2, 0, 0])
  assert figures((truth, said), boundary_s=1.0)["frame/relaxed/accuracy"] == 1
  assert figures((truth, said), boundary_s=1.0, rule="cholec80")["frame/relaxed/accuracy"] == 4 / 6


def test_segments_by_hand():
  """Predicted runs a [0, 3), b [3, 5), a [5, 6), b [6, 9), c [9, 10) of truth a [0, 4), b [4, 8), c [8, 10)."""
  got = figures((TRUTH, GUESS))
  assert got["edit"] == 1 - 2 / 5  # two runs too many
  assert [segments.segment_hits(TRUTH, GUESS, x) for x in (0.1, 0.25, 0.5)] == [(3, 2, 0), (3, 2, 0), (2, 3, 1)]
  assert segments.segment_hits(np.array([0, 0, 1, 1]), np.array([2, 2, 2, 2]), 0.5) == (0, 1, 2)  # of another label
  assert (got["f1@10"], got["f1@25"], got["f1@50"]) == (6 / 8, 6 / 8, 4 / 8)


@pytest.mark.parametrize("truth, said, distance", [
    ([0, 1, 2], [0, 1, 2], 0), ([0, 1, 2], [2], 2), ([0, 1, 2], [1, 2, 0], 2), ([0, 1], [1, 0, 1, 0], 2),
    ([0, 1, 2, 0], [0, 2, 1, 0], 2), ([0], [1], 1)])
def test_edit_score(truth, said, distance):
  size = 12
  one, two = (np.repeat(x, size // len(x)) for x in (truth, said))
  assert segments.edit_score(one, two) == pytest.approx(1 - distance / max(len(truth), len(said)))
  assert segments.edit_score(two, one) == pytest.approx(segments.edit_score(one, two))


def test_unlabelled_frames_do_not_count():
  truth, said = np.r_[-1, -1, TRUTH, -1], np.r_[0, 2, GUESS, 1]
  assert figures((truth, said)) == pytest.approx(figures((TRUTH, GUESS)))
  assert figures((TRUTH, GUESS), (np.full(3, -1), np.zeros(3))) == pytest.approx(figures((TRUTH, GUESS)))


def test_bootstrap_over_patients_equals_repeated_videos():
  rng = np.random.default_rng(0)
  videos = [(t, np.where(rng.random(len(t)) < q, rng.integers(3, size=len(t)), t))
            for t, q in ((np.repeat(rng.permutation(3)[:k], 6), q) for k, q in ((3, .1), (2, .5), (3, .3), (2, .9)))]
  groups, options = ["p", "q", "p", "r"], dict(classes=CLASSES, fps=1, boundary_s=1.0)
  got = stats.phase(videos, groups, n=60, seed=3, **options)
  assert {k: v["value"] for k, v in got.items()} == phase.figures(videos, **options)
  rows = []
  for w in np.concatenate(list(stats.draws(3, 60, 3))).astype(int):
    drawn = [v for v, g in zip(videos, groups, strict=True) for _ in range(w["pqr".index(g)])]
    rows.append(phase.figures(drawn, **options))
  for k in got:
    values = np.array([r[k] for r in rows], float)
    np.testing.assert_allclose([got[k]["low"], got[k]["high"]], np.nanpercentile(values, (2.5, 97.5)), atol=1e-12)
    assert got[k]["low"] < got[k]["high"] and got[k]["n"] == 3


def test_what_does_not_fit_is_refused():
  with pytest.raises(ConfigError, match="did you mean 'cholec80'"):
    figures((TRUTH, GUESS), rule="cholec")
  for truth, said in ((TRUTH, GUESS[1:]), (TRUTH + 1, GUESS), (TRUTH, GUESS + 1), (TRUTH, GUESS - 1)):
    with pytest.raises(DataError):
      figures((truth, said))
  with pytest.raises(DataError, match="no labelled frames"):
    figures((TRUTH * 0 - 1, GUESS))
  with pytest.raises(DataError, match="one group"):
    stats.phase([(TRUTH, GUESS)], ["p", "q"], classes=CLASSES, fps=1)
