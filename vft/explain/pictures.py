"""A map as pictures: overlay (mp4 and GIF), importance of each frame, contact sheet."""
import io
from fractions import Fraction
from pathlib import Path

import av
import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy import ndimage

SCALE = 3  # pixels of the overlay per pixel that the model sees
SHOWN, COLOURS = 6, 128  # frames and colours of the contact sheet


def unit(values: np.ndarray, sigma: float = 0.0) -> np.ndarray:
  """A map (T, H, W) -> 0..1: what is negative is 0, the highest half of a percent is 1; `sigma` pixels smooth it."""
  values = np.maximum(ndimage.gaussian_filter(values, (0, sigma, sigma)) if sigma else values, 0)
  low, top = float(values.min()), float(np.quantile(values, 0.995))
  return np.clip((values - low) / (top - low), 0, 1) if top > low else np.zeros_like(values)


def blend(frames: np.ndarray, shares: np.ndarray, most: float = 0.65) -> np.ndarray:
  """Frames (T, H, W, 3) uint8 under the colours of a map of 0..1 (T, H, W); where it is 0 the picture is untouched."""
  colours = matplotlib.colormaps["inferno"](shares)[..., :3] * 255
  weight = most * np.sqrt(shares)[..., None]
  return np.rint(frames * (1 - weight) + colours * weight).astype(np.uint8)


def enlarge(frames: np.ndarray, scale: int = SCALE) -> np.ndarray:
  """Each pixel `scale` times as large, each way; (T, H, W, 3) with even sides, as h264 wants them."""
  out = frames.repeat(scale, axis=1).repeat(scale, axis=2)
  return out[:, :out.shape[1] // 2 * 2, :out.shape[2] // 2 * 2]


def write_mp4(path: Path, frames: np.ndarray, fps: float) -> None:
  """Frames (T, H, W, 3) uint8, even sides, as h264."""
  with av.open(str(path), "w") as out:
    stream = out.add_stream("libx264", rate=Fraction(fps).limit_denominator(1000))
    stream.width, stream.height, stream.pix_fmt = frames.shape[2], frames.shape[1], "yuv420p"
    stream.options = {"crf": "18"}
    for pixels in frames:
      out.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
    out.mux(stream.encode())


def write_gif(path: Path, frames: np.ndarray, fps: float) -> None:
  """Frames (T, H, W, 3) uint8 as an endless GIF; its clock has steps of 10 ms."""
  images = [Image.fromarray(f).quantize(64) for f in frames]
  images[0].save(path, save_all=True, append_images=images[1:], duration=round(1000 / fps), loop=0)


def write_curve(path: Path, times_s: np.ndarray, importance: np.ndarray, title: str) -> None:
  """The importance of each frame (T,) over its time."""
  figure = Figure(figsize=(6, 2.4), layout="constrained")
  FigureCanvasAgg(figure)
  axes = figure.subplots()
  axes.plot(times_s, importance, marker="o", markersize=3)
  axes.axhline(0, color="0.7", linewidth=0.8)
  axes.set(xlabel="time in the video (s)", ylabel="importance")
  axes.set_title(title, parse_math=False)  # the name of a class may hold $
  figure.savefig(path, dpi=120)


def sheet(frames: np.ndarray, overlay: np.ndarray, count: int = SHOWN) -> Image.Image:
  """Some frames (T, H, W, 3) in a row, spread evenly, the same under the map below."""
  shown = np.unique(np.linspace(0, len(frames) - 1, count).round().astype(int))
  return Image.fromarray(np.concatenate([np.concatenate(list(x[shown]), axis=1) for x in (frames, overlay)]))


def write_sheet(path: Path, frames: np.ndarray, overlay: np.ndarray) -> None:
  """`sheet` as a PNG of few colours, which is a third of the size."""
  file = io.BytesIO()
  sheet(frames, overlay).quantize(COLOURS).save(file, "png", optimize=True)
  path.write_bytes(file.getvalue())
