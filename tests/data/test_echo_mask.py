"""The mask of the simulated wall lies where the pixels show it."""
import numpy as np
import pytest

from vft.data.builders import echo_heart, echo_mask, echo_physics


@pytest.mark.parametrize(("patient", "clip", "label"), [(7, 1, "normal"), (8, 2, "regional_wall_motion")])
def test_the_wall_is_bright_moves_and_fits_its_clip(patient, clip, label):
  mask, times = echo_mask.wall_mask(patient, clip, label)
  heart = echo_heart.draw_heart(patient, label)
  rng = np.random.default_rng((echo_heart.SEED, patient, clip))
  frames = echo_physics.render(heart, echo_physics.draw_view(rng, heart), rng)  # the pixels of make_clip
  assert mask.shape == frames.shape and len(times) == len(mask)
  assert 0.03 < mask.mean() < 0.2 and (mask[0] ^ mask[len(mask) // 3]).sum() > 0.1 * mask[0].sum()
  rows, columns = np.mgrid[:128, :128]
  inside = np.zeros_like(mask)
  for t, wall in enumerate(mask):  # between the two sides of the wall: the cavity
    for row in np.unique(rows[wall]):
      on = columns[row][wall[row]]
      inside[t, row, on.min():on.max()] = True
  assert frames[mask].mean() > 1.15 * frames[inside & ~mask].mean()
  moved = np.roll(mask, 12, axis=2)  # a wall elsewhere fits worse
  assert frames[mask].mean() > frames[moved & echo_mask.sector()].mean() + 5
