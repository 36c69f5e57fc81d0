import numpy as np
import pytest

from configs import default
from vft.data.sampling import Sampler, clip_times, segment_times


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


def make(**data):
  config = default.get_config()
  config.data.update(num_frames=4, fps=2.0, **data)
  return Sampler.make(config.data)


def test_dense_goes_by_rate_and_duration_by_length():
  assert make(sampling="dense").times(10.0) == pytest.approx([4.0, 4.5, 5.0, 5.5])
  assert make(sampling="duration", duration_s=8.0).times(10.0) == pytest.approx([1.0, 3.0, 5.0, 7.0])


def test_uniform_shows_the_centre_of_each_part_of_the_span():
  sampler = make(sampling="uniform")
  assert sampler.times(8.0) == pytest.approx([1.0, 3.0, 5.0, 7.0])
  assert sampler.times(10.0, start_s=2.0, end_s=6.0) == pytest.approx([2.5, 3.5, 4.5, 5.5])


def test_views_of_uniform_stand_side_by_side_in_each_part():
  times = [segment_times(8.0, num_frames=4, fps=2.0, view=v, views=2) for v in range(2)]
  assert times[0] == pytest.approx([0.5, 2.5, 4.5, 6.5]) and times[1] == pytest.approx([1.5, 3.5, 5.5, 7.5])


def test_uniform_in_training_draws_a_place_in_each_part():
  def draw(seed):
    return make(sampling="uniform").times(20.0, start_s=4.0, end_s=12.0, rng=np.random.default_rng(seed))

  times = np.stack([draw(s) for s in range(200)])
  parts = 4.0 + 2.0 * np.arange(5)
  assert (times >= parts[:-1]).all() and (times < parts[1:]).all()
  assert (np.ptp(times[:, :3], axis=0) > 1.9).all() and times.max() <= 12.0 - 0.25
  assert abs(np.corrcoef(times[:, 0], times[:, 1])[0, 1]) < 0.3  # each part by itself
  assert (draw(3) == draw(3)).all()


def test_uniform_fits_a_short_span_and_a_single_frame():
  assert segment_times(0.4, num_frames=4, fps=2.0) == pytest.approx([0.05, 0.15, 0.25, 0.35])
  assert segment_times(8.0, num_frames=4, fps=2.0, single_frame=True) == pytest.approx([5.0] * 4)


def test_windows_start_every_stride_and_reach_the_end():
  windows = make().windows(10.0, 3.0)
  assert windows[:, 0] == pytest.approx([0.0, 3.0, 6.0, 8.0])
  assert windows[1] == pytest.approx([3.0, 3.5, 4.0, 4.5])
  assert make().windows(8.0, 3.0)[:, 0] == pytest.approx([0.0, 3.0, 6.0])
  (short,) = make().windows(1.0, 3.0)
  assert short == pytest.approx([0.0, 0.5, 1.0, 1.0])
  assert make(single_frame=True).windows(8.0, 3.0)[1] == pytest.approx([4.0] * 4)
