"""The errors worth a look, as small looping pictures: what the model was surest of, and the worst of each class."""
import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from vft import metrics, tasks
from vft.data.clip_reader import ClipReader
from vft.data.sequences import Sequences
from vft.report.folder import Folder

SIDE, FRAMES = 112, 16  # pixels and frames of a picture, at most
QUALITY = 40  # of WebP: 10 to 30 kB a clip


@dataclass(frozen=True)
class Error:
  """A test row that the model got wrong, and how it looks ("" where it could not be read)."""
  row: int
  truth: str
  said: str
  moving: str = ""
  still: str = ""


@dataclass(frozen=True)
class Gallery:
  """Errors of one kind."""
  title: str
  errors: list[Error]


def galleries(run: Folder) -> list[Gallery]:
  """For each task; config.report.clips in all. Of each patient at most one in a gallery."""
  most, made = int(run.settings.clips), []
  for task in run.tasks:
    found = _choose(run, task, max(1, most // len(run.tasks)) if most else 0)
    made += [Gallery(f"{task.name}: {title}" if len(run.tasks) > 1 else title, errors) for title, errors in found]
  pictures = _pictures(run, [e.row for g in made for e in g.errors])
  return [Gallery(g.title, [Error(e.row, e.truth, e.said, *pictures.get(e.row, ("", ""))) for e in g.errors])
          for g in made]


def _choose(run: Folder, task: tasks.Task, most: int) -> list[tuple[str, list[Error]]]:
  labels = run.manifest.labels(run.test.rows)[task.name]
  y, out, rows = metrics.present(task.kind, labels, run.test.outputs[task.name], run.test.rows)
  if not most or not len(y):
    return []
  said = np.array(tasks.decide(task, out))
  cells = run.manifest.table[task.name].to_numpy(str)[rows]
  if task.kind == "regression":
    gaps = np.abs(out[:, 0] - y)
    return [("Largest errors", _errors(run, rows, np.argsort(-gaps, kind="stable"), cells, said, most))]
  if task.kind == "multi":
    gaps = np.where(y >= 0, np.abs(out - y), 0).max(axis=1)
    wrong = np.flatnonzero(gaps > 0.5)
    return [("Most confident errors", _errors(run, rows, wrong[np.argsort(-gaps[wrong], kind="stable")], cells, said,
                                              most))]
  words = np.array([f"{s}, {p[task.classes.index(s)]:.2f}; {task.classes[k]}, {p[k]:.2f}"
                    for s, p, k in zip(said, out, y, strict=True)])
  of_said = out[np.arange(len(y)), [task.classes.index(s) for s in said]]
  wrong = np.flatnonzero(said != cells)
  sure = _errors(run, rows, wrong[np.argsort(-of_said[wrong], kind="stable")], cells, words, -(-most // 2))
  taken, worst = {e.row for e in sure}, []
  for k in np.unique(y):
    of_class = np.array([i for i in wrong if y[i] == k and rows[i] not in taken], int)
    order = of_class[np.argsort(out[of_class, k], kind="stable")]
    worst.append(_errors(run, rows, order, cells, words, max(1, most // 2 // len(np.unique(y)))))
  rest = [e for some in worst for e in some][:most // 2]
  return [(title, errors) for title, errors in (("Most confident errors", sure), ("Least likely truth, by class", rest))
          if errors]


def _errors(run: Folder, rows: np.ndarray, order: np.ndarray, cells: np.ndarray, said: np.ndarray,
            most: int) -> list[Error]:
  """The first of an order, each of another patient."""
  groups, seen, out = run.manifest.groups(rows), set(), []
  for i in order:
    if groups[i] not in seen and len(out) < most:
      seen.add(groups[i])
      out.append(Error(int(rows[i]), str(cells[i]), str(said[i])))
  return out


def _pictures(run: Folder, rows: list[int]) -> dict[int, tuple[str, str]]:
  """{row: (moving, still)} as data addresses, of what can be decoded."""
  if not run.has_source or not rows:
    return {}
  shown = [_clip_of(run, row) for row in rows]
  read = ClipReader.make(run.manifest.shown, run.config, views=1)
  found = {}
  for row, clip in zip(rows, shown, strict=True):
    batch = read((np.array([clip]), np.zeros(1, int), np.zeros(1, bool)))
    if batch["mask"][0]:
      times = batch["time_s"][0, 0]
      found[row] = encode(batch["video"][0, 0], float(np.ptp(times)) / max(len(times) - 1, 1))
  return found


def _clip_of(run: Folder, row: int) -> int:
  """The clip of an answer: itself, or the first of a patient's."""
  whole = isinstance(run.manifest, Sequences) and run.manifest.unit == "patient"
  return int(run.manifest.members[row][0]) if whole else row  # pyright: ignore[reportAttributeAccessIssue]


def encode(video: np.ndarray, step_s: float) -> tuple[str, str]:
  """Frames (T, H, W, 3) uint8, `step_s` apart -> a looping WebP and a still one, as data addresses."""
  keep = np.unique(np.linspace(0, len(video) - 1, min(len(video), FRAMES)).round().astype(int))
  frames = [Image.fromarray(video[i]) for i in keep]
  for frame in frames:
    frame.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
  pause_ms = round(1000 * step_s * (keep[-1] + 1) / len(keep))
  first, *others = frames
  moving, still = io.BytesIO(), io.BytesIO()
  first.save(moving, "WEBP", save_all=True, append_images=others, duration=max(pause_ms, 20), loop=0, quality=QUALITY,
             method=2)
  first.save(still, "WEBP", quality=QUALITY)
  return tuple(f"data:image/webp;base64,{base64.b64encode(b.getvalue()).decode()}" for b in (moving, still))  # pyright: ignore[reportReturnType]
