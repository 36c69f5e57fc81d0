"""vft check in shares: each looks at some of the files and keeps what it found; the last one puts all together."""
from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from vft import shards
from vft.data.inspection import Inspection
from vft.data.known_files import KnownFiles

FOLDER = ".shards"  # in the folder of the check
Look = Callable[[list[str], Path, KnownFiles], tuple[dict[str, Inspection], int]]  # of (paths, folder, memory)


def pooled(output: Path, shard: shards.Shard, work: Any, paths: Sequence[str], known: KnownFiles,
           pool: contextlib.ExitStack, look: Look) -> tuple[dict[str, Inspection], int]:
  """What was found in all files, and how many were decoded for it. Raises shards.Waiting where shares are missing.

  A share has a memory of its own, so that one that was killed does not look again at what it has seen. `pool` is held
  while the caller writes what follows from all of them; `known` takes in their thumbnails.
  """
  parts = shards.Parts(output / FOLDER, shard, [work, list(paths)])

  def do() -> dict[str, Any]:
    own = KnownFiles(_memory(parts, shard.index))
    with contextlib.closing(own):
      found, decoded = look(shard.share(paths), parts.folder, own)
    return {"decoded": decoded, "files": {path: dataclasses.asdict(dataclasses.replace(f, thumbnail=b"")) | {
        "thumbnail": ""} for path, f in found.items()}}

  shards.run(parts, do)
  shares = pool.enter_context(parts.merged())
  for index in range(shard.count):
    known.take(_memory(parts, index))
  files = {path: f for share in shares for path, f in share["files"].items()}
  return {path: _inspection(files[path]) for path in paths}, sum(share["decoded"] for share in shares)


def _memory(parts: shards.Parts, index: int) -> Path:
  return parts.path(index).with_suffix(".sqlite")


def _inspection(said: dict[str, Any]) -> Inspection:
  return Inspection(**{**said, "notes": tuple(said["notes"]), "borders": tuple(said["borders"]), "thumbnail": b""})
