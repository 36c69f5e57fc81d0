"""Where the moving wall of a SIMULATED clip is: from the geometry that made it, not from its pixels."""
import numpy as np
from PIL import Image, ImageDraw

from vft.data.builders import echo_heart, echo_physics
from vft.data.builders.echo_physics import PIXEL, SIZE


def wall_mask(patient: int, clip: int, label: str) -> tuple[np.ndarray, np.ndarray]:
  """Of the clip of `echo_physics.make_clip`: (T, SIZE, SIZE) bool, the wall of the left ventricle; seconds (T,).

  All of the wall that lies in the sector, the segment that hardly moves included.
  """
  heart = echo_heart.draw_heart(patient, label)
  rng = np.random.default_rng((echo_heart.SEED, patient, clip))
  view = echo_physics.draw_view(rng, heart)
  wave = echo_physics.scatterers(heart, view, rng)[-1]  # the phase of the drift is drawn among them
  q, _ = echo_heart.contraction(heart, view.times + view.start, view.heart_rate)
  outer, inner = (_outline(heart, view, q, wave, which) for which in (1, 0))
  return np.stack([_filled(o) & ~_filled(i) for o, i in zip(outer, inner, strict=True)]) & sector(), view.times


def sector() -> np.ndarray:
  """(SIZE, SIZE) bool: the pixels that show something."""
  return np.diff(echo_physics.scan_converter().indptr).reshape(SIZE, SIZE) > 0


def _outline(heart: echo_heart.Heart, view: echo_physics.View, q: np.ndarray, wave: np.ndarray,
             outer: int) -> np.ndarray:
  """(T, N, 2) pixels, column and row, of the cavity's border or of the wall's outer one, from base to base."""
  down = np.linspace(heart.length, -0.7 * heart.wall if outer else 0.0, 80)
  side, y = np.repeat([-1.0, 1.0], 80), np.append(down, down[::-1])
  x = side * np.maximum(echo_heart.halfwidths(heart, side, y)[outer] * (y <= heart.length), 1e-3)
  now_x, now_y = echo_heart.move(heart, x[None], y[None], q[:, None])
  across, along = echo_physics.before_probe(view, now_x, now_y, wave)
  scale = SIZE / (PIXEL * view.depth)  # pixels a mm; places as in `scan_converter`
  return np.stack([across * scale + SIZE / 2 - 0.5, along * scale + 1], axis=-1)


def _filled(outline: np.ndarray) -> np.ndarray:
  image = Image.new("1", (SIZE, SIZE))
  ImageDraw.Draw(image).polygon([(float(x), float(y)) for x, y in outline], fill=1)
  return np.asarray(image)
