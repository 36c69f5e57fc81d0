"""Time to result: `vft probe` with nothing kept against transformers and torch, on the same videos.

  python -m tests.benchmarks.time_to_result [--clips=200] [--peer=24] [--rounds=1] [--single] [--folder=FOLDER]

VideoMAE-S (random weights), 16 x 224 x 224, frozen trunk; `clips` training and validation clips (and a tenth more for
the test), h264 of 320 x 240 and 2 s; 20 epochs, 20 points of learning rate and decay. Ours is the whole command in a
process of its own, from the start of Python to the table. The peer freezes the trunk in the usual way (its parameters
have requires_grad False), decodes every clip by PyAV and passes it through the trunk in every epoch of every point, in
batches of 8, then AdamW steps on the classifier. It is timed on `peer` clips a round, before and after ours, and
multiplied; loading its libraries, validation figures and saving are not counted. Processor seconds stand beside wall
clock: both sides keep all cores busy, and other load on the machine hardly changes them.
"""
import argparse
import csv
import importlib
import json
import os
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.clips import write_clip

ROOT = Path(__file__).resolve().parents[2]
EPOCHS, BATCH = 20, 8
LR, WD = (3e-4, 1e-3, 3e-3, 1e-2, 3e-2), (0.0, 1e-4, 1e-3, 1e-2)
CONFIG = '''"""VideoMAE-S, random, head only."""
from configs import default


def get_config():
  c = default.get_config()
  c.data.update(source="csv:{csv}", num_frames=16, fps=8.0, resize=224, size=224)
  c.model.update(name="videomae", variant="S/16x2")
  c.init.update(weights="", keep_init=())
  c.groups = dict(trunk=dict(train=False), head=dict(train=True))
  c.rules = (("head/.*", "head"), (".*", "trunk"))
  c.train.update(batch={batch}, epochs={epochs})
  c.probe.update(lr={lr}, wd={wd})
  c.features.dir = "{features}"
  return c
'''


def write_videos(folder: Path, count: int) -> list[tuple[str, str, str, str]]:
  """`count` clips of train and val, and a tenth more of test; returns rows of (path, label, group, split)."""
  rng, rows = np.random.default_rng(0), []
  test = max(count // 10, 2)
  for i in range(count + test):
    split = "test" if i >= count else "val" if i % 5 == 4 else "train"
    rows.append((f"{i}.mp4", "ab"[i % 2], f"p{i}", split))
    if (folder / f"{i}.mp4").exists():
      continue
    coarse = rng.integers(0, 256, (6, 15, 20, 3)).astype(np.float32).repeat(16, 1).repeat(16, 2)  # 240 x 320
    mix = np.abs(np.linspace(0, 5, 50)[:, None] - np.arange(6)).clip(0, 1)[..., None, None, None]
    video = ((1 - mix) * coarse[None]).sum(1) + rng.normal(0, 4, (50, 240, 320, 1))
    write_clip(folder / f"{i}.mp4", video.clip(0, 255).astype(np.uint8), fps=25, crf=23)
  with (folder / "clips.csv").open("w", newline="") as file:
    csv.writer(file).writerows([("path", "label", "group", "split"), *rows])
  return rows


def processor_s(who: int) -> float:
  """Seconds of all cores so far."""
  used = resource.getrusage(who)
  return used.ru_utime + used.ru_stime


def ours(folder: Path, lr: tuple[float, ...], wd: tuple[float, ...]) -> tuple[np.ndarray, dict[str, Any]]:
  """(wall clock, processor) seconds of the whole command with nothing kept, and its result.json."""
  shutil.rmtree(folder / "features", ignore_errors=True)
  shutil.rmtree(folder / "run", ignore_errors=True)
  (folder / "bench.py").write_text(CONFIG.format(csv=folder / "clips.csv", features=folder / "features", lr=lr, wd=wd,
                                                 batch=BATCH, epochs=EPOCHS))
  start, used = time.perf_counter(), processor_s(resource.RUSAGE_CHILDREN)
  subprocess.run([sys.executable, "-m", "vft.cli", "probe", f"--config={folder / 'bench.py'}",
                  f"--workdir={folder / 'run'}"], check=True, cwd=ROOT, stdout=subprocess.DEVNULL,
                 stderr=subprocess.DEVNULL)
  seconds = [time.perf_counter() - start, processor_s(resource.RUSAGE_CHILDREN) - used]
  return np.array(seconds), json.loads((folder / "run/result.json").read_text())


def make_peer(folder: Path, rows: list[tuple[str, str, str, str]]) -> Callable[[int], np.ndarray]:
  """f(n) -> (wall clock, processor) seconds of `n` clips in an epoch of one point."""
  av, torch, transformers = (importlib.import_module(name) for name in ("av", "torch", "transformers"))
  mean, std = (torch.tensor(x).view(3, 1, 1) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
  model = transformers.VideoMAEForVideoClassification(transformers.VideoMAEConfig(
      hidden_size=384, num_hidden_layers=12, num_attention_heads=6, intermediate_size=1536, num_labels=2))
  for parameter in model.videomae.parameters():
    parameter.requires_grad = False
  model.eval()
  optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-3, weight_decay=1e-3)

  def read(path: Path) -> Any:
    with av.open(str(path)) as video:
      video.streams.video[0].thread_type = "SLICE"
      frames = [frame for i, frame in enumerate(video.decode(video=0)) if i % 3 == 0][:16]
      pixels = [f.to_ndarray(width=299, height=224, format="rgb24")[:, 37:261] for f in frames]
    clip = torch.from_numpy(np.stack(pixels)).movedim(-1, 1).float() / 255  # (T, 3, 224, 224)
    return (clip - mean) / std

  def epoch(count: int) -> np.ndarray:
    start, used = time.perf_counter(), time.process_time()
    for first in range(0, count, BATCH):
      part = rows[first:first + BATCH]
      clips = torch.stack([read(folder / path) for path, *_ in part])
      labels = torch.tensor(["ab".index(label) for _, label, *_ in part])
      optimizer.zero_grad()
      model(pixel_values=clips, labels=labels).loss.backward()
      optimizer.step()
    return np.array([time.perf_counter() - start, time.process_time() - used])
  epoch(BATCH)  # the first is slower, and not counted
  return epoch


def report(name: str, seconds: np.ndarray, results: list[dict[str, Any]], peer_s: np.ndarray, clips: int,
           points: int) -> None:
  """`seconds` (rounds, 2) of ours and `peer_s` (2,) of a clip of the peer, wall clock and processor."""
  print(f"\n{name}: {points} point{'s' * (points > 1)}")
  for i, clock in enumerate(("wall clock", "processor")):
    whole, us = peer_s[i] * clips * EPOCHS * points, float(np.median(seconds[:, i]))
    print(f"  {clock:<11} ours {us:.1f} s measured (median of {len(seconds)}), peer {whole:,.0f} s multiplied "
          f"({peer_s[i]:.3f} s a clip x {clips} clips x {EPOCHS} epochs x {points}): {whole / us:.1f} x")
  middle = int(np.argsort(seconds[:, 0])[len(seconds) // 2])
  causes = results[middle]["cost"]["by_cause"]
  parts = {**causes, "start of Python, tables": seconds[middle, 0] - sum(causes.values())}
  print("  ours by cause, wall clock, s: " + ", ".join(f"{cause} {s:.1f}" for cause, s in parts.items()))


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--clips", type=int, default=200, help="of training and validation")
  parser.add_argument("--peer", type=int, default=24, help="clips on which the peer is timed in each of its rounds")
  parser.add_argument("--rounds", type=int, default=1)
  parser.add_argument("--single", action="store_true", help="one point alone, too")
  parser.add_argument("--folder", type=Path, help="for the videos, which stay; without it they are written anew")
  args = parser.parse_args()
  with tempfile.TemporaryDirectory(prefix="vft-benchmark-") as place:
    folder = args.folder or Path(place)
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_videos(folder, args.clips)
    epoch = make_peer(folder, rows)
    count = min(args.peer, args.clips)
    peer = [epoch(count)]
    kinds = {"grid": (LR, WD), **({"single": ((1e-3,), (1e-3,))} if args.single else {})}
    seconds: dict[str, list[np.ndarray]] = {k: [] for k in kinds}
    found: dict[str, list[dict[str, Any]]] = {k: [] for k in kinds}
    for _ in range(args.rounds):
      for kind, (lr, wd) in kinds.items():
        used, result = ours(folder, lr, wd)
        seconds[kind].append(used)
        found[kind].append(result)
        peer.append(epoch(count))
    peer_s = np.median(peer, axis=0) / count
    print(f"{args.clips} clips of training and validation, {len(rows) - args.clips} of test (ours alone), {EPOCHS} "
          f"epochs, batch {BATCH}\n{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}\n"
          f"peer: {len(peer)} rounds of {count} clips, s a clip: {', '.join(f'{s / count:.3f}' for s, _ in peer)}")
    for kind, (lr, wd) in kinds.items():
      report(kind, np.array(seconds[kind]), found[kind], peer_s, args.clips, len(lr) * len(wd))


if __name__ == "__main__":
  main()
