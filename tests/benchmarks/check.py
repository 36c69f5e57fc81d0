"""`vft check` over clips of 112 x 112 pixels and 2 s, 500 and 2,000 of them: clips a second and peak memory.

  python -m tests.benchmarks.check [--folder=FOLDER]
"""
import argparse
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tests.clips import write_clip

COUNTS = (500, 2000)
ROOT = Path(__file__).resolve().parents[2]


def write_clips(folder: Path, count: int) -> None:
  """Clips of 50 frames: smooth shapes that drift, with a little noise. Files that are there stay."""
  rng = np.random.default_rng(0)
  for i in range(count):
    path = folder / "ab"[i % 2] / f"{i}.mp4"
    coarse = rng.integers(0, 256, (4, 15, 15, 3)).astype(np.float32)
    if path.exists():
      continue
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = coarse.repeat(8, 1).repeat(8, 2)[:, :112, :112]
    mix = np.abs(np.linspace(0, 3, 50)[:, None] - np.arange(4)).clip(0, 1)[..., None, None, None]
    video = ((1 - mix) * blocks[None]).sum(1) + rng.normal(0, 4, (50, 112, 112, 1))
    write_clip(path, video.clip(0, 255).astype(np.uint8), fps=25, crf=23)


def resident(pid: int) -> float:
  """MiB of a process and those below it, pages that they share counted once for each."""
  def of(number: int) -> int:
    try:
      own = int(Path(f"/proc/{number}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
      tasks = Path(f"/proc/{number}/task")
      return own + sum(of(int(c)) for t in tasks.iterdir() for c in (t / "children").read_text().split())
    except (OSError, ValueError):  # it has ended
      return 0
  return of(pid) / 2**20


def measure(folder: Path, out: Path) -> tuple[float, float]:
  """Seconds and peak MiB of one check that knows no file from before."""
  with tempfile.TemporaryDirectory() as home:
    start, peak = time.perf_counter(), [0.0]
    done = subprocess.Popen([sys.executable, "-m", "vft.cli", "check", f"folder:{folder}", f"--output={out}"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd=ROOT,
                            env={**os.environ, "HOME": home})

    def watch() -> None:
      while done.poll() is None:
        peak[0] = max(peak[0], resident(done.pid))
        time.sleep(0.1)
    watcher = threading.Thread(target=watch)
    watcher.start()
    _, said = done.communicate()
    watcher.join()
    if done.returncode:
      raise SystemExit(said.decode())
    return time.perf_counter() - start, peak[0]


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--folder", type=Path, help="where clips lie or are written; default: a temporary one")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory() as temporary:
    top = args.folder or Path(temporary)
    for count in COUNTS:
      write_clips(top / str(count), count)
      load = os.getloadavg()[0]
      seconds, peak = measure(top / str(count), top / f"out_{count}")
      print(f"{count} clips: {seconds:.1f} s, {count / seconds:.0f} clips/s, peak {peak:.0f} MiB; "
            f"{os.cpu_count()} cores ({platform.machine()}), load before {load:.1f}", flush=True)


if __name__ == "__main__":
  main()
