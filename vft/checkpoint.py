"""Checkpoints by orbax, with what it lacks: a digest of every file, written last, and fall-back to an older step."""
import hashlib
import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as policies

from vft import mirror
from vft.errors import WeightsError

DIGESTS = "sha256.json"


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
  weights and the run. Damaged steps are set aside as damaged-<step>; when only damaged ones are left, WeightsError.
  """

  def __init__(self, folder: Path):
    self.folder = folder.resolve()
    self._set_aside()
    best = policies.BestN(get_metric_fn=lambda m: m["score"], n=1)  # the largest score
    handlers = {"state": ocp.StandardCheckpointHandler(), "metadata": ocp.JsonCheckpointHandler()}
    self._manager = ocp.CheckpointManager(self.folder, item_handlers=handlers, options=ocp.CheckpointManagerOptions(
        preservation_policy=policies.AnyPreservationPolicy([policies.LatestN(2), best]),
        best_fn=lambda m: m["score"], best_mode="max", enable_async_checkpointing=False))

  def _set_aside(self) -> None:
    steps = sorted((p for p in self.folder.glob("*") if p.name.isdigit()), key=lambda p: int(p.name))
    faults = {p: _fault(p) for p in steps}
    for path, fault in faults.items():
      if fault:
        logging.warning("checkpoint of step %s set aside as %s: %s", path.name, f"damaged-{path.name}", fault)
        path.rename(path.with_name(f"damaged-{path.name}"))
    if any(f not in ("", "not finished") for f in faults.values()) and all(faults.values()):
      raise WeightsError(f"Every checkpoint in {self.folder} is damaged: {sorted(p.name for p in steps)}.\n"
                         f"Nothing was deleted. To start again from step 0, remove {self.folder}.")

  def save(self, step: int, arrays: Mapping[str, Mapping[str, Any]], metadata: Mapping[str, Any],
           score: float | None) -> None:
    """Writes a step and, when all of it is on the disk, its digests. `score`: larger is better, None: not validated."""
    args = ocp.args.Composite(state=ocp.args.StandardSave(dict(arrays)), metadata=ocp.args.JsonSave(dict(metadata)))
    self._manager.save(step, args=args, metrics=None if score is None else {"score": float(score)}, force=True)
    self._manager.wait_until_finished()
    folder = self.folder / str(step)
    if jax.process_index() == 0:
      partial = folder / f"{DIGESTS}.tmp"
      partial.write_text(json.dumps({k: v for k, v in _digest(folder).items() if k != partial.name}, indent=1))
      partial.rename(folder / DIGESTS)
      mirror.send(self.folder)

  def newest(self) -> int | None:
    """The newest step, or None."""
    return self._manager.latest_step()

  def best(self) -> int | None:
    """The step with the largest score, or None."""
    return self._manager.best_step()

  def metadata(self, step: int) -> dict[str, Any]:
    """The metadata of a step."""
    return self._manager.restore(step, args=ocp.args.Composite(metadata=ocp.args.JsonRestore()))["metadata"]

  def restore(self, step: int, like: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """Arrays of a step, in the names, shapes, types and places of `like`. Raises WeightsError where they differ."""
    saved = self._manager.item_metadata(step)["state"]
    shapes = {f"{tree}/{name}": tuple(leaf.shape) for tree, leaves in saved.items() for name, leaf in leaves.items()}
    wanted = {f"{tree}/{name}": tuple(np.shape(leaf)) for tree, leaves in like.items() for name, leaf in leaves.items()}
    differ = {k: (shapes.get(k, "absent"), wanted.get(k, "absent"))
              for k in sorted(shapes.keys() | wanted.keys()) if shapes.get(k) != wanted.get(k)}
    if differ:
      lines = "\n".join(f"  {k}: in the checkpoint {a}, in the model {b}" for k, (a, b) in list(differ.items())[:10])
      raise WeightsError(f"The checkpoint {self.folder / str(step)} does not fit the model ({len(differ)} differ).\n"
                         f"{lines}\nUse the config of that run, or another --workdir.")
    return self._manager.restore(step, args=ocp.args.Composite(state=ocp.args.StandardRestore(dict(like))))["state"]

  def close(self) -> None:
    """Frees what orbax holds."""
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
