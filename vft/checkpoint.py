"""Checkpoints by orbax, with what it lacks: a digest of every file, written last, and fall-back to an older step."""
import errno
import hashlib
import itertools
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vft import distributed, mirror, sharding
from vft.errors import RunError, WeightsError

DIGESTS = "sha256.json"
AT_ONCE = 4  # steps that lie there while one is written: the newest two, the best and the new one


def _digest(folder: Path) -> dict[str, str]:
  files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != DIGESTS)
  return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def _fault(folder: Path) -> str:
  """Why a step cannot be used; "" when it can."""
  if not (folder / DIGESTS).is_file():
    return "not finished"
  try:
    want = json.loads((folder / DIGESTS).read_text())
  except ValueError:
    return f"{DIGESTS} is damaged"
  have = _digest(folder)
  changed = sorted(k for k in want.keys() | have.keys() if want.get(k) != have.get(k))
  return f"changed or missing: {changed}" if changed else ""


class Checkpoints:
  """The newest two steps and the best one in a folder.

  A checkpoint holds flat trees {"params", "batch_stats", "opt_state"} of arrays and metadata: what identifies the base
  weights and the run. Damaged steps are set aside as damaged-<step>[-<n>]; when none is left, WeightsError.
  Of many processes all call the same methods; the first one alone reads and writes, and tells the others.
  """

  def __init__(self, folder: Path):
    self.folder = folder.resolve()
    distributed.by_first(self._set_aside)
    self._manager: Any = self._open() if distributed.first() else None

  def _open(self) -> ocp.CheckpointManager:
    best = policies.BestN(get_metric_fn=lambda m: m["score"], n=1)  # the largest score
    # Of many processes orbax runs in the first one alone, and waits for no other.
    alone: dict[str, Any] = {} if distributed.count() == 1 else {
        "multiprocessing_options": ocp.options.MultiprocessingOptions(primary_host=0, active_processes={0})}
    handlers = {"state": ocp.StandardCheckpointHandler(**alone), "metadata": ocp.JsonCheckpointHandler(**alone)}
    self.folder.mkdir(parents=True, exist_ok=True)
    return ocp.CheckpointManager(self.folder, item_handlers=handlers, options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]), create=not alone,
        best_fn=lambda m: m["score"], best_mode="max", enable_async_checkpointing=False, **alone))

  def _set_aside(self) -> None:
    steps = sorted((p for p in self.folder.glob("*") if p.name.isdigit()), key=lambda p: int(p.name))
    faults = {p: _fault(p) for p in steps}
    for path, fault in faults.items():
      if fault:
        names = (f"damaged-{path.name}" + (f"-{n}" if n > 1 else "") for n in itertools.count(1))
        place = next(p for p in map(path.with_name, names) if not p.exists())
        logging.warning("checkpoint of step %s set aside as %s: %s", path.name, place.name, fault)
        path.rename(place)
    if any(f not in ("", "not finished") for f in faults.values()) and all(faults.values()):
      raise WeightsError(f"Every checkpoint in {self.folder} is damaged: {sorted(p.name for p in steps)}.\n"
                         f"Nothing was deleted. To start again from step 0, remove {self.folder}.")

  def check_room(self, size: int) -> None:
    """Raises RunError where the disk has no room for the steps to come, each of `size` bytes."""
    distributed.by_first(lambda: self._check_room(size))

  def _check_room(self, size: int) -> None:
    need, free = size * max(AT_ONCE - len(self._manager.all_steps()), 1), shutil.disk_usage(self.folder).free
    if need > free:
      raise RunError(f"The checkpoints of this run take {size / 1e6:,.1f} MB each, and up to {AT_ONCE} lie on the disk "
                     f"at once: {need / 1e6:,.1f} MB, but {free / 1e6:,.1f} MB are free at {self.folder}.\nMake room "
                     "there, give a --workdir on another disk, or train less: fewer blocks, or LoRA.")

  def save(self, step: int, arrays: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, Any],
           score: float | None) -> None:
    """Writes a step and, when all of it is on the disk, its digests. `score`: larger is better, None: not validated.

    Raises RunError where the disk has no room for it; older steps are as they were.
    """
    if distributed.count() > 1:
      arrays = sharding.fetch(dict(arrays))
    distributed.by_first(lambda: self._save(step, arrays, metadata, score))

  def _save(self, step: int, arrays: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, Any],
            score: float | None) -> None:
    try:
      self._write(step, arrays, metadata, score)
    except Exception as e:  # orbax has no class of its own for it
      if not any(words in str(e) for words in (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT), "File too large")):
        raise
      need = sum(np.asarray(x).nbytes for tree in arrays.values() for x in tree.values())
      free = shutil.disk_usage(self.folder).free
      raise RunError(f"The disk is full: the checkpoint of step {step} takes {need / 1e6:.1f} MB, {free / 1e6:.1f} MB "
                     f"are free at {self.folder}.\nOlder steps are whole. Make room, and the same command goes on from "
                     "the newest of them.") from e

  def _write(self, step: int, arrays: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, Any],
             score: float | None) -> None:
    args = ocp.args.Composite(state=ocp.args.StandardSave(dict(arrays)), metadata=ocp.args.JsonSave(dict(metadata)))
    self._manager.save(step, args=args, metrics=None if score is None else {"score": float(score)}, force=True)
    self._manager.wait_until_finished()
    folder = self.folder / str(step)
    partial = folder / f"{DIGESTS}.tmp"
    partial.write_text(json.dumps({k: v for k, v in _digest(folder).items() if k != partial.name}, indent=1))
    partial.rename(folder / DIGESTS)
    mirror.send(self.folder)

  def newest(self) -> int | None:
    """The newest step, or None."""
    return distributed.by_first(lambda: self._manager.latest_step())

  def best(self) -> int | None:
    """The step with the largest score, or None."""
    return distributed.by_first(lambda: self._manager.best_step())

  def metadata(self, step: int) -> dict[str, Any]:
    """The metadata of a step."""
    args = ocp.args.Composite(metadata=ocp.args.JsonRestore())
    return distributed.by_first(lambda: self._manager.restore(step, args=args)["metadata"])

  def restore(self, step: int, like: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Arrays of a step, in the names, shapes, types and places of `like`. Raises WeightsError where they differ.

    Of many processes each gets all of them on its host.
    """
    if distributed.count() == 1:
      self._check(step, like)
      return self._read(step, like)
    like = jax.tree.map(lambda x: np.zeros(np.shape(x), x.dtype), dict(like))
    distributed.by_first(lambda: self._check(step, like))
    leaves, tree = jax.tree.flatten(like)
    held = jax.tree.leaves(self._read(step, like)) if distributed.first() else []
    data = distributed.broadcast_bytes(b"".join(np.asarray(x, y.dtype).tobytes() for x, y in
                                                zip(held, leaves if held else (), strict=True)))
    ends = np.cumsum([x.nbytes for x in leaves]).tolist()
    return jax.tree.unflatten(tree, [np.frombuffer(data[end - x.nbytes:end], x.dtype).reshape(x.shape).copy()
                                     for x, end in zip(leaves, ends, strict=True)])

  def _check(self, step: int, like: Mapping[str, Mapping[str, Any]]) -> None:
    saved = self._manager.item_metadata(step)["state"]
    shapes = {f"{tree}/{name}": tuple(leaf.shape) for tree, leaves in saved.items() for name, leaf in leaves.items()}
    wanted = {f"{tree}/{name}": tuple(np.shape(leaf)) for tree, leaves in like.items() for name, leaf in leaves.items()}
    differ = {k: (shapes.get(k, "absent"), wanted.get(k, "absent"))
              for k in sorted(shapes.keys() | wanted.keys()) if shapes.get(k) != wanted.get(k)}
    if differ:
      lines = "\n".join(f"  {k}: in the checkpoint {a}, in the model {b}" for k, (a, b) in list(differ.items())[:10])
      raise WeightsError(f"The checkpoint {self.folder / str(step)} does not fit the model ({len(differ)} differ).\n"
                         f"{lines}\nUse the config of that run, or another --workdir.")
    cast = [f"{name} from {saved[tree][name].dtype} to {leaf.dtype}" for tree, leaves in like.items()
            for name, leaf in leaves.items() if saved[tree][name].dtype != leaf.dtype]
    if cast:
      logging.warning("checkpoint of step %s holds other number types, which are converted: %s", step, ", ".join(
          cast[:10]))

  def _read(self, step: int, like: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(dict(like))))["state"]

  def close(self) -> None:
    """Frees what orbax holds."""
    if self._manager:
      self._manager.close()


def pack(params: Mapping[str, Any], batch_stats: Mapping[str, Any], opt_state: Any,
         saved: frozenset[str]) -> dict[str, Any]:
  """The flat trees of a checkpoint: parameters and statistics named in `saved`, all leaves of the optimiser."""
  leaves = jax.tree.leaves(opt_state)
  return {"params": {k: v for k, v in params.items() if k in saved},
          "batch_stats": {k: v for k, v in batch_stats.items() if k in saved},
          "opt_state": {f"{i:04}": x for i, x in enumerate(leaves)}}


def unpack_opt_state(opt_state: Any, leaves: Mapping[str, Any]) -> Any:
  """The inverse of what `pack` does to the optimiser's state, whose structure comes from `tx.init`."""
  return jax.tree.unflatten(jax.tree.structure(opt_state), [leaves[k] for k in sorted(leaves)])
