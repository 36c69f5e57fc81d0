"""A run's state to and from its checkpoints: what trains, and what identifies the base and the data."""
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp

from vft.checkpoint import Checkpoints, pack, unpack_opt_state
from vft.errors import WeightsError
from vft.train import TrainState


class Saver:
  """Checkpoints of one run.

  Args:
    folder: of the checkpoints.
    saved: names of parameters and statistics that train, move, or did not come from the base weights.
    identity: what must be the same to go on: {"base": ..., "manifest": ..., "classes": ...}.
  """

  def __init__(self, folder: Path, saved: frozenset[str], identity: Mapping[str, Any]):
    self.store, self._saved, self._identity, self._last = Checkpoints(folder), saved, identity, -1

  def save(self, state: TrainState, score: float | None) -> None:
    """Saves a state once; `score` of the validation, larger is better, or None where it was not validated."""
    step = int(state.step)
    if step != self._last:
      self.store.save(step, self._pack(state), self._identity, score)
      self._last = step

  def restore(self, state: TrainState, step: int | None) -> TrainState:
    """The state with a saved step laid over it; unchanged for None. Raises WeightsError where base or data differ."""
    if step is None:
      return state
    saved = self.store.metadata(step)
    for key, want in self._identity.items():
      if saved[key] != want:
        raise WeightsError(f"The checkpoint of step {step} in {self.store.folder} belongs to another {key}:\n"
                           f"  in the checkpoint: {saved[key]}\n  in this run:       {want}\n"
                           "Bring the old one back, or give another --workdir.")
    found = self.store.restore(step, self._pack(state))
    self._last = step
    return TrainState(jnp.asarray(step, jnp.int32), {**state.params, **found["params"]},
                      {**state.batch_stats, **found["batch_stats"]},
                      unpack_opt_state(state.opt_state, found["opt_state"]))

  def _pack(self, state: TrainState) -> dict[str, Any]:
    return pack(state.params, state.batch_stats, state.opt_state, self._saved)
