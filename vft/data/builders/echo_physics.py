"""SIMULATED B-mode cine of a simulated heart: point scatterers, a polar grid of IQ samples, an mp4; mm and s.

No jax here: worker processes import this module and need only numpy, scipy and PyAV.
The convolution model of a cardiac scanner is that of COLE (Gao et al., IEEE TUFFC 56(2), 2009): scatterers moved by the
heart are gathered on (beam, range) cells with their carrier phase (sub-cell delay by phase: Storve and Torp,
doi:10.1109/TUFFC.2017.2731944), then spread by an axial pulse and a lateral beam.
"""
import dataclasses
import fractions
import functools
import io
import itertools
import os
import threading
import time

import av
import numpy as np
from scipy import ndimage, sparse

from vft.data.builders import echo_heart
from vft.data.builders.echo_heart import Heart

BEAMS, RANGES, SIZE, HALF_ANGLE = 96, 192, 128, np.deg2rad(36)  # the polar grid, pixels a side, half the sector
PIXEL = 1.1  # the side of the picture in depths of the sector
WAVELENGTH = 1.54 / 2.5  # mm, of 2.5 MHz at 1540 m/s
NUM_SCATTERERS = 24000
MIN_DURATION = 1.3  # s


@dataclasses.dataclass(frozen=True)
class View:
  """What differs between the clips of a patient: probe, scanner settings, rhythm and breathing."""
  heart_rate: float  # bpm
  frame_rate: float  # Hz
  start: float  # s into the cycle
  depth: float  # mm, of the sector
  tilt: float  # rad, of the long axis
  offset: tuple[float, float]  # mm, of the apex, across and down
  drift: tuple[float, float, float]  # mm across, mm down, rad: amplitudes of the slow movement
  drift_period: float  # s
  gain_db: float
  range_db: float
  noise_db: float  # at mid-depth, relative to bright tissue
  persistence: float  # weight of the frame before

  @property
  def times(self) -> np.ndarray:
    return np.arange(int(np.ceil(MIN_DURATION * self.frame_rate))) / self.frame_rate


def draw_view(rng: np.random.Generator, heart: Heart) -> View:
  """Draws a view of a heart; nothing here depends on its label."""
  heart_rate = float(np.clip(heart.heart_rate + rng.normal(0, 2), 50, 100))
  return View(
      heart_rate=heart_rate, frame_rate=float(rng.integers(200, 321) / 10), start=rng.uniform(0, 60 / heart_rate),
      depth=rng.uniform(140, 175), tilt=rng.normal(0.03, 0.09), offset=(rng.normal(2, 5), rng.uniform(16, 26)),
      drift=(rng.normal(0, 2.0), rng.normal(0, 1.5), rng.normal(0, 0.025)), drift_period=rng.uniform(2.5, 5),
      gain_db=rng.normal(0, 3), range_db=rng.uniform(42, 62), noise_db=rng.uniform(-50, -33),
      persistence=rng.uniform(0, 0.35))


@functools.cache
def scan_converter() -> sparse.csr_matrix:
  """(SIZE * SIZE, RANGES * BEAMS) bilinear weights from the polar grid to pixels; the probe is at the top centre."""
  row, column = np.mgrid[:SIZE, :SIZE]
  down, across = (row - 1) * (PIXEL / SIZE), (column + 0.5 - SIZE / 2) * (PIXEL / SIZE)
  beam = (np.arctan2(across, down) / HALF_ANGLE + 1) / 2 * (BEAMS - 1)
  depth = np.hypot(across, down) * RANGES - 0.5
  seen = np.flatnonzero((beam >= 0) & (beam <= BEAMS - 1) & (depth >= 2) & (depth <= RANGES - 1))
  return bilinear(seen, depth.ravel()[seen], beam.ravel()[seen], RANGES, BEAMS, SIZE * SIZE)


def bilinear(rows, first, second, num_first: int, num_second: int, num_rows: int) -> sparse.csr_matrix:
  """Weights that read a (num_first, num_second) table at fractional places, one row each."""
  i, j = (np.clip(np.floor(z).astype(int), 0, n - 2) for z, n in ((first, num_first), (second, num_second)))
  a, b = first - i, second - j
  weight = np.concatenate([(1 - a) * (1 - b), (1 - a) * b, a * (1 - b), a * b]).astype(np.float32)
  node = i * num_second + j
  node = np.concatenate([node, node + 1, node + num_second, node + num_second + 1])
  return sparse.csr_matrix((weight, (np.tile(rows, 4), node)), (num_rows, num_first * num_second))


def scatterers(heart: Heart, view: View, rng: np.random.Generator):
  """Places of all scatterers before the probe, x and y (T, N) in mm, their amplitudes (T, N); the drift (T, 1), -1..1.
  """
  q, opening = echo_heart.contraction(heart, view.times + view.start, view.heart_rate)
  r = view.depth * np.sqrt(rng.uniform(0, 1.1, NUM_SCATTERERS))
  angle = rng.uniform(-1.08, 1.08, NUM_SCATTERERS) * HALF_ANGLE
  px, py = r * np.sin(angle) - view.offset[0], r * np.cos(angle) - view.offset[1]
  x, y = np.cos(view.tilt) * px + np.sin(view.tilt) * py, np.cos(view.tilt) * py - np.sin(view.tilt) * px
  strength = echo_heart.echogenicity(heart, x, y)
  keep = (strength > 0.1) | (rng.random(x.size) < 0.3)  # blood needs few
  x, y, strength = x[keep], y[keep], strength[keep]

  # The field of motion is evaluated on a grid of 4 mm and read at the scatterers.
  gx, gy = np.arange(-190, 191, 4.0), np.arange(-80, 221, 4.0)
  node_y, node_x = (z.reshape(-1, 1) for z in np.meshgrid(gy, gx, indexing="ij"))
  now_x, now_y = echo_heart.move(heart, node_x, node_y, q[None])  # (nodes, T)
  field = np.concatenate([now_x - node_x, now_y - node_y], 1).astype(np.float32)

  def read(x, y):
    weights = bilinear(np.arange(x.size), (y - gy[0]) / 4, (x - gx[0]) / 4, gy.size, gx.size, x.size)
    shift_x, shift_y = np.split(np.ascontiguousarray((weights @ field).T), 2)  # (T, N) each
    return shift_x + x.astype(np.float32), shift_y + y.astype(np.float32)

  parts = [read(x, y)]
  for side, share in ((-1.0, 0.62), (1.0, 0.45)):  # anterior and posterior leaflet, share of the ring's diameter
    ring = echo_heart.halfwidths(heart, np.array([side]), np.array([heart.length]))[0] * side
    hinge_x, hinge_y = read(ring, np.array([heart.length]))
    along = rng.uniform(0, 1, (1, 120)) * 2 * abs(ring) * share
    bend = 0.12 + (1.15 + 0.15 * side) * opening[:, None] + 0.008 * along  # rad, from the ring towards the apex
    parts.append((hinge_x - side * along * np.cos(bend) + rng.normal(0, 0.5, along.shape),
                  hinge_y - along * np.sin(bend) + rng.normal(0, 0.5, along.shape)))
    strength = np.append(strength, np.full(along.size, 0.8))
  x, y = (np.concatenate(z, 1, dtype=np.float32) for z in zip(*parts, strict=True))

  wave = np.sin(2 * np.pi * (view.times / view.drift_period + rng.random()))[:, None]
  x, y = before_probe(view, x, y, wave)

  # Out of the plane: tissue turns through the slice with the beat and with breathing, so the speckle decorrelates.
  height = rng.normal(0, 2.5, strength.size).astype(np.float32)
  through = (3.5 * heart.strain * q[:, None] + 0.8 * wave).astype(np.float32)
  amplitude = (strength * rng.normal(size=strength.size)).astype(np.float32)
  return x.astype(np.float32), y.astype(np.float32), amplitude * np.exp(-(((height - through) / 2.5) ** 2)), wave


def before_probe(view: View, x, y, wave):
  """Points (T, N) of the heart frame, moved, across and down from the probe; `wave` (T, 1) is the drift."""
  tilt = view.tilt + view.drift[2] * wave
  place = (view.offset[0] + view.drift[0] * wave, view.offset[1] + view.drift[1] * wave)
  return np.cos(tilt) * x - np.sin(tilt) * y + place[0], np.sin(tilt) * x + np.cos(tilt) * y + place[1]


def beam_matrix(depth: float, focus: float) -> np.ndarray:
  """(RANGES, BEAMS, BEAMS) lateral spread at each range: narrow at the focus, of equal power at all ranges."""
  r = (np.arange(RANGES) + 0.5) * depth / RANGES
  sigma = 1.0 * np.sqrt(1 + ((r - focus) / 45) ** 2 * np.where(r < focus, 1.5, 0.5))  # beams
  step = np.arange(BEAMS)[:, None] - np.arange(BEAMS)
  kernel = np.exp(-0.5 * (step / sigma[:, None, None]) ** 2)
  return (kernel / np.sqrt((kernel**2).sum(2, keepdims=True))).astype(np.float32)


def acquire(heart: Heart, view: View, rng: np.random.Generator) -> np.ndarray:
  """Beam-formed IQ samples (RANGES, BEAMS, T) complex64, with shadows, depth-dependent noise and an imperfect TGC."""
  x, y, amplitude, _ = scatterers(heart, view, rng)
  r, angle = np.sqrt(x * x + y * y), np.arctan2(x, y)
  beam = np.rint((angle / HALF_ANGLE + 1) / 2 * (BEAMS - 1)).astype(np.int32)
  cell = (r * (RANGES / view.depth)).astype(np.int32)
  cells = RANGES * BEAMS
  index = np.where((beam >= 0) & (beam < BEAMS) & (cell < RANGES), cell * BEAMS + beam, cells)  # the last one is a bin
  phase = r * np.float32(4 * np.pi / WAVELENGTH)
  real, imag = amplitude * np.cos(phase), -amplitude * np.sin(phase)
  iq = np.array([[np.bincount(i, w, cells + 1)[:cells] for i, w in zip(index, part, strict=True)]
                 for part in (real, imag)], np.float32)  # (2, T, cells)

  iq = np.ascontiguousarray(iq.reshape(-1, RANGES, BEAMS).transpose(1, 2, 0))  # (RANGES, BEAMS, 2 T)
  iq = beam_matrix(view.depth, rng.uniform(60, 95)) @ iq
  shadow = ndimage.gaussian_filter1d(rng.normal(0, 1, BEAMS), 4) * 8  # dB, about 2 rms: contact and ribs differ by beam
  edge, side = rng.uniform(-0.1, 0.25) * BEAMS, rng.choice([-1, 1])
  shadow = shadow - 14 / (1 + np.exp((np.arange(BEAMS)[::side] - edge) / 2))  # lung or rib over one edge of the sector
  level = np.linspace(0, 1, RANGES)
  tgc = ndimage.gaussian_filter1d(rng.normal(0, 1, RANGES), 20, mode="wrap") * 20
  iq *= (10 ** ((shadow + tgc[:, None]) / 20)).astype(np.float32)[:, :, None]
  haze = rng.normal(0, 1, (RANGES, BEAMS, iq.shape[2] // (view.times.size))) * rng.uniform(0.5, 2.5)
  haze *= np.exp(-level[:, None, None] / 0.07)  # reverberation in the near field stands still
  iq += np.repeat(haze, view.times.size, 2).astype(np.float32)
  noise = 10 ** ((view.noise_db + 22 * (level - 0.5)) / 20) * 3.0  # attenuation is made up for by gain: noise grows
  iq += rng.standard_normal(iq.shape, np.float32) * noise.astype(np.float32)[:, None, None]
  pulse = 0.75 * RANGES / view.depth  # standard deviation of the two-way pulse, in cells
  spread = np.exp(-0.5 * ((np.arange(RANGES)[:, None] - np.arange(RANGES)) / pulse) ** 2).astype(np.float32)
  iq = (spread @ iq.reshape(RANGES, -1)).reshape(iq.shape)
  return iq[..., : view.times.size] + 1j * iq[..., view.times.size :]


def render(heart: Heart, view: View, rng: np.random.Generator) -> np.ndarray:
  """Grey frames (T, SIZE, SIZE) uint8: envelope, log compression, scan conversion, persistence."""
  level = 20 * np.log10(np.abs(acquire(heart, view, rng)) + 1e-6)
  level = (level - np.percentile(level[:, :, ::8], 98.5) + view.gain_db) / view.range_db + 1
  grey = (scan_converter() @ np.clip(level, 0, 1).reshape(RANGES * BEAMS, -1)).T
  for before, now in itertools.pairwise(grey):
    now *= 1 - view.persistence
    now += view.persistence * before
  return np.rint(grey * 255).astype(np.uint8).reshape(-1, SIZE, SIZE)


def encode(frames: np.ndarray, frame_rate: float) -> bytes:
  """An h264 mp4 of grey frames (T, H, W) at a constant frame_rate (Hz)."""
  t, h, w = frames.shape
  file = io.BytesIO()
  with av.open(file, "w", format="mp4") as container:
    stream = container.add_stream("libx264", fractions.Fraction(frame_rate).limit_denominator(10))
    stream.width, stream.height, stream.pix_fmt, stream.thread_count = w, h, "yuv420p", 1
    stream.options = {"crf": "18", "preset": "veryfast"}
    planes = np.full((t, h * 3 // 2, w), 128, np.uint8)  # no colour
    planes[:, :h] = 16 + np.rint(frames * (219 / 255))  # video range
    for plane in planes:
      container.mux(stream.encode(av.VideoFrame.from_ndarray(plane, format="yuv420p")))
    container.mux(stream.encode())
  return file.getvalue()


def make_clip(patient: int, clip: int, label: str) -> dict:
  """One simulated example, the same in whichever process: see EchoPhantom for its fields."""
  heart = echo_heart.draw_heart(patient, label)
  rng = np.random.default_rng((echo_heart.SEED, patient, clip))
  view = draw_view(rng, heart)
  return dict(id=f"p{patient:03d}_c{clip}", patient=f"p{patient:03d}", label=label, segment=heart.affected,
              video=encode(render(heart, view, rng), view.frame_rate), frame_rate=view.frame_rate,
              heart_rate=view.heart_rate, ejection_fraction=echo_heart.ejection_fraction(heart))


def end_with(parent: int) -> None:
  """Ends this worker soon after its parent process, which may be killed without a word to its workers."""
  def watch():
    while os.getppid() == parent:
      time.sleep(1)
    os._exit(1)

  threading.Thread(target=watch, daemon=True).start()
