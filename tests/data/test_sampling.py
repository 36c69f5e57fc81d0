import numpy as np
import pytest

from vft.data.sampling import clip_times


def test_the_clip_stands_in_the_centre():
  assert clip_times(10.0, num_frames=4, fps=2.0) == pytest.approx([4.0, 4.5, 5.0, 5.5])


def test_a_video_as_long_as_the_clip_is_shown_whole():
  assert clip_times(2.0, num_frames=4, fps=2.0) == pytest.approx([0.0, 0.5, 1.0, 1.5])


def test_views_go_from_the_start_to_the_end():
  starts = [clip_times(10.0, num_frames=4, fps=2.0, view=v, views=3)[0] for v in range(3)]
  assert starts == pytest.approx([0.0, 4.0, 8.0])


def test_a_short_video_repeats_its_end():
  assert clip_times(1.0, num_frames=4, fps=2.0) == pytest.approx([0.0, 0.5, 1.0, 1.0])


def test_a_short_span_does_not_reach_into_the_next_one():
  times = clip_times(10.0, num_frames=8, fps=2.0, start_s=3.0, end_s=4.5)
  assert times[0] == 3.0 and times.max() < 4.5
  assert len(clip_times(10.0, num_frames=8, fps=2.0, start_s=3.0, end_s=3.1)) == 8


@pytest.mark.parametrize("end", [None, float("nan"), 99.0])
def test_a_span_without_an_end_goes_to_the_end_of_the_video(end):
  assert clip_times(10.0, num_frames=2, fps=1.0, start_s=8.0, end_s=end) == pytest.approx([8.0, 9.0])


def test_a_random_start_stays_inside_and_follows_its_generator():
  def draw(seed):
    return clip_times(10.0, num_frames=4, fps=2.0, start_s=1.0, end_s=5.0, rng=np.random.default_rng(seed))

  starts = np.array([draw(s)[0] for s in range(200)])
  assert starts.min() >= 1.0 and starts.max() <= 3.0 and np.ptp(starts) > 1.8
  assert (draw(3) == draw(3)).all()


def test_a_single_frame_is_the_middle_one_repeated():
  assert clip_times(10.0, num_frames=4, fps=2.0, single_frame=True) == pytest.approx([5.0] * 4)
