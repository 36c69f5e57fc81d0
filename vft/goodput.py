"""Goodput: the share of a run's time, over all its starts, that went into what the result needs."""
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PRODUCTIVE = ("manifest", "features", "step", "eval")  # causes of progress.Clock


class Sessions:
  """sessions.jsonl: for each start of a run, what its time went into up to its last checkpoint and its last sign.

  Steps after the last checkpoint of a start that was killed are done again: their time is lost. Wall clock only
  between starts; a clock that jumps back there counts as no time.
  """

  def __init__(self, folder: Path, now: float | None = None):
    self._path, self._began = folder / "sessions.jsonl", time.time() if now is None else now
    self._name = f"{self._began:.3f}-{os.getpid()}"

  def note(self, seconds: Mapping[str, float], total_s: float, step: int) -> None:
    """Appends where this start is, right after a checkpoint; a full disk costs the note, never the run."""
    line = {"session": self._name, "began": self._began, "total_s": total_s, "by_cause": dict(seconds), "step": step}
    try:
      with self._path.open("a") as file:
        file.write(json.dumps(line) + "\n")
    except OSError as e:
      logging.warning("cost.goodput will miss time of this start: %s cannot be written (%s)", self._path, e)

  def summary(self, seconds: Mapping[str, float], total_s: float) -> dict[str, Any]:
    """{"goodput", "total_s", "starts", "seconds"}: seconds by cause, "away" between the starts and what was lost."""
    last = {}
    for line in _lines(self._path):
      last[line["session"]] = line
    last.pop(self._name, None)
    found = [*last.values(), {"began": self._began, "total_s": total_s, "by_cause": dict(seconds)}]
    causes: dict[str, float] = {}
    for session in found:
      spent = session["by_cause"]
      for cause, value in spent.items():
        causes[cause] = causes.get(cause, 0.0) + value
      causes["other"] = causes.get("other", 0.0) + max(session["total_s"] - sum(spent.values()), 0.0)
    whole = max(self._began + total_s - found[0]["began"], total_s)
    causes["away_or_lost"] = max(whole - sum(causes.values()), 0.0)
    useful = sum(causes.get(cause, 0.0) for cause in PRODUCTIVE)
    return {"goodput": min(useful / max(whole, 1e-9), 1.0), "total_s": whole, "starts": len(found), "seconds": causes}


def _lines(path: Path) -> list[dict[str, Any]]:
  """All whole lines, oldest first."""
  found = []
  for text in path.read_text(errors="replace").splitlines() if path.is_file() else []:
    try:
      line = json.loads(text)
      found.append({**line, "began": float(line["began"]), "total_s": float(line["total_s"])})
    except (ValueError, KeyError, TypeError):
      continue  # a torn line
  return found
