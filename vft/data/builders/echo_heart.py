"""SIMULATED hearts in an apical four-chamber plane: shape, motion and what scatters. numpy and scipy only; mm and s.

Heart frame: y runs down the long axis from the apex (0) to the mitral plane, x across it, septum < 0 < lateral wall.
Segment coordinate u = sign(x) y / length: -1 septal base, 0 apex, 1 lateral base. Every shape is drawn at mid-cycle.
"""
import dataclasses

import numpy as np
from scipy import optimize

SEED = 20261
LABELS = ("normal", "globally_reduced", "regional_wall_motion")
SEGMENTS = {"septal_basal": -0.83, "septal_mid": -0.5, "septal_apical": -0.24, "apex": 0.0,
            "lateral_apical": 0.24, "lateral_mid": 0.5, "lateral_basal": 0.83}  # centres in u
EF_PERCENT = {"normal": (53, 70), "globally_reduced": (20, 40), "regional_wall_motion": (53, 70)}  # before the deficit
EQUATOR = 0.62  # the widest place of the cavity, in lengths from the apex


@dataclasses.dataclass(frozen=True)
class Heart:
  """What the clips of a patient share; `deficit` = (centre in u, half-width in u, share of the motion that is left)."""
  label: str
  affected: str
  length: float
  radius: float
  wall: float
  atrium: float
  right: float
  bumps: np.ndarray  # (5, 2) static irregularity of the cavity: cosine and sine of k pi u
  waves: np.ndarray  # (3, 2) uneven motion of the wall, in every class
  shortening: float  # long-axis strain per transverse strain
  heart_rate: float  # bpm
  early: float  # share of the filling that comes with the E wave
  deficit: tuple[float, float, float] = (0.0, 1.0, 1.0)
  strain: float = 0.0  # transverse, end-diastole to end-systole, of the mid-cycle radius


def draw_heart(patient: int, label: str) -> Heart:
  """A seeded heart: size, thickness and irregularity do not depend on the label, only the motion does."""
  rng = np.random.default_rng((SEED, patient, 0))
  heart = Heart(label, "", length=rng.normal(84, 6), radius=rng.normal(22.5, 2.2), wall=rng.uniform(8, 12.5),
                atrium=rng.uniform(17, 24), right=rng.uniform(20, 34), bumps=rng.normal(0, 0.035, (5, 2)),
                waves=rng.normal(0, 0.06, (3, 2)), shortening=rng.uniform(0.32, 0.48),
                heart_rate=rng.uniform(52, 97), early=rng.uniform(0.5, 0.8))
  target, name = rng.uniform(*EF_PERCENT[label]), str(rng.choice(list(SEGMENTS)))
  width, left = rng.uniform(0.2, 0.3), rng.uniform(0, 0.2)

  def excess(strain: float) -> float:
    return ejection_fraction(dataclasses.replace(heart, strain=strain)) - target

  heart = dataclasses.replace(heart, strain=optimize.brentq(excess, 0.01, 0.9, xtol=1e-4))
  if label == "regional_wall_motion":
    heart = dataclasses.replace(heart, affected=name, deficit=(SEGMENTS[name], width, left))
  return heart


def series(u, coefficients):
  """Sum over k of a_k cos(k pi u) + b_k sin(k pi u)."""
  return sum(a * np.cos(k * np.pi * u) + b * np.sin(k * np.pi * u) for k, (a, b) in enumerate(coefficients, 1))


def contraction(heart: Heart, time_s, heart_rate: float):
  """Contraction q and opening of the mitral valve (0 to 1); q rises by 1 in systole and has mean 0 over the cycle."""
  cycle = 60 / heart_rate
  systole, relax = 0.34 * np.sqrt(cycle), 0.06  # Bazett's square root; then isovolumic relaxation
  rise = min(0.18, cycle - systole - relax)

  def ramp(t, start, length):
    z = np.clip((t - start) / length, 0, 1)
    return z * z * (3 - 2 * z)

  def curve(t):
    return (ramp(t, 0, systole) - heart.early * ramp(t, systole + relax, rise)
            - (1 - heart.early) * ramp(t, cycle - 0.13, 0.13))

  t = np.asarray(time_s) % cycle
  opening = ramp(t, systole + relax - 0.02, 0.08) * (1 - 0.45 * ramp(t, systole + relax + 0.12, 0.15))
  opening = np.maximum(opening, 0.8 * ramp(t, cycle - 0.14, 0.06)) * (1 - ramp(t, cycle - 0.04, 0.04))
  return curve(t) - curve(np.linspace(0, cycle, 256, endpoint=False)).mean(), opening


def arch(z):
  """Half-width of an ellipse of half-width 1 at z half-heights from its centre."""
  return np.sqrt(np.maximum(1 - z * z, 0))


def halfwidths(heart: Heart, x, y):
  """Half-widths, at height y and on the side of x, of the chamber (ventricle, then atrium) and of its outer wall."""
  s, tip = y / heart.length, 0.7 * heart.wall / heart.length
  cavity = heart.radius * arch((s - EQUATOR) / EQUATOR) * (1 + series(np.sign(x) * np.clip(s, 0, 1), heart.bumps))
  outer = (heart.radius + heart.wall) * arch((s - EQUATOR) / (EQUATOR + tip))
  tall = 1.15 * heart.atrium
  atrium = heart.atrium * arch((y - heart.length - 0.6 * tall) / tall)
  below = s > 1
  return np.where(below, atrium, cavity), np.where(below, atrium + 3 * (atrium > 0), np.maximum(outer, cavity + 2))


def move(heart: Heart, x, y, q):
  """Where the material points (x, y) of mid-cycle are at contraction q; arguments broadcast.

  The cavity narrows by the local strain; the wall keeps its volume, r'^2 = r_in'^2 + (r^2 - r_in^2) / (1 - shortening),
  so it thickens; the base comes down to the apex; what lies outside follows less and less.
  """
  inner, outer = halfwidths(heart, x, y)
  s = np.clip(y / heart.length, 0, 1)
  u = np.sign(x) * s
  centre, width, left = heart.deficit
  vigour = (1 + series(u, heart.waves)) * (1 - (1 - left) * np.exp(-(((u - centre) / width) ** 4)))
  vigour = vigour * (1 - 1.4 * np.clip((y / heart.length - 0.95) / 0.25, 0, 1))  # the atrium fills in systole
  r = np.minimum(np.abs(x), outer)
  long = heart.shortening * heart.strain
  inner_now = inner * (1 - heart.strain * vigour * q)
  wall_now = np.sqrt(inner_now**2 + np.maximum(r**2 - inner**2, 0) * (1 + (1 / (1 - long * q) - 1) * np.abs(vigour)))
  now = np.where(r > inner, wall_now, r * inner_now / np.maximum(inner, 1e-6))
  shift = np.sign(x) * (now - r) * np.exp(-(np.abs(x) - r) / 20)
  # A still segment tethers the ring on its side.
  sides = [1 - (1 - left) * width * 0.9 * (np.sign(centre) != -sign) for sign in (-1, 1)]
  share = np.clip(x / heart.radius, -1, 1) / 2 + 0.5
  pull = sides[0] * (1 - share) + sides[1] * share
  fade = np.where(y > heart.length, np.clip(1 - (y - heart.length) / 50, 0, 1), s)
  return x + shift, y - long * heart.length * q * pull * fade


def cavity(heart: Heart, q):
  """Area (mm^2) and volume (ml) of the left ventricle at each q (T,): Simpson's disks of one plane, Lang et al.,
  doi:10.1016/j.echo.2014.10.003."""
  y = np.linspace(0, heart.length, 81)[None]  # (1, P)
  q = np.asarray(q)[:, None]
  (left, y_left), (right, y_right) = (
      move(heart, side * np.maximum(halfwidths(heart, side, y)[0], 1e-3), y, q) for side in (-1.0, 1.0))
  depth, width = (y_left + y_right) / 2, right - left
  step = np.diff(depth, axis=1)
  width = (width[:, 1:] + width[:, :-1]) / 2
  return (width * step).sum(1), np.pi / 4 * (width**2 * step).sum(1) / 1000


def ejection_fraction(heart: Heart) -> float:
  """Percent, from the largest and smallest volume of one cycle."""
  q, _ = contraction(heart, np.linspace(0, 60 / heart.heart_rate, 64), heart.heart_rate)
  volume = cavity(heart, q)[1]
  return float(100 * (1 - volume.min() / volume.max()))


def echogenicity(heart: Heart, x, y):
  """Mean scattering amplitude at (x, y) of mid-cycle; myocardium across the beam is 1."""
  inner, outer = halfwidths(heart, x, y)
  r, s = np.abs(x), y / heart.length
  down = EQUATOR**2 * heart.length * r / (heart.radius + heart.wall) ** 2
  across = np.abs(s - EQUATOR) / (np.hypot(s - EQUATOR, down) + 1e-6)  # share of the wall's normal along the beam
  amplitude = np.full_like(x, 0.3)  # what lies around
  right = heart.right * np.clip((s - 0.15) / 0.7, 0, 1) ** 0.7 * np.clip((1.6 - s) / 0.3, 0, 1) ** 0.5
  gap = r - outer
  beside = (x < 0) & (gap > 0) & (s > 0.15)
  amplitude = np.where(beside & (gap < right + 4) & (right > 0), 0.7, amplitude)  # free wall of the right heart
  amplitude = np.where(beside & (gap < right), 0.03, amplitude)
  amplitude = np.where((x > 0) & (gap > 0) & (gap < 2.5) & (s < 1), 2.2, amplitude)  # pericardium
  amplitude = np.where((gap <= 0) & (outer > 0), 0.45 + 0.55 * across, amplitude)  # myocardium, weak along the beam
  amplitude = np.where((r < inner) & (y > 0), 0.025, amplitude)  # blood
  return np.where((np.abs(y - heart.length) < 2.5) & (np.abs(r - inner) < 4), 2.5, amplitude)  # fibrous ring
