"""safetensors as the original of the family names and shapes its arrays: model.safetensors, for its own programs."""
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors.numpy import save_file

from vft import convert, startup, trees
from vft.errors import RunError
from vft.export.program import Program

FILE = "model.safetensors"


def write(folder: Path, program: Program, begin: startup.Prepared) -> str:
  """All arrays, LoRA's folded into their kernels; returns what there is. Raises WeightsError where one has no name."""
  arrays, kept = convert.to_original(begin.model.family, program.weights)
  save_file(arrays, folder / FILE, metadata={"format": "pt"})  # transformers asks for it
  under = f" {len(kept)} of the head, which the original has not, under vft's names: {', '.join(kept)}." if kept else ""
  return f"{len(arrays)} arrays of {begin.model.family} under the names of its original.{under}"


def run(folder: Path, program: Program, begin: startup.Prepared, video: np.ndarray) -> Mapping[str, Any]:
  """What the written file, converted back, says of clips (B, T, R, R, 3). Raises RunError where a bit differs."""
  def tree(names: Collection[str]) -> dict[str, Any]:
    return trees.unflatten({name: array for name, array in program.weights.items() if name in names})
  shapes = {"params": tree(begin.state.best_params), "batch_stats": tree(begin.state.batch_stats)}
  loaded, _ = convert.load(shapes, str(folder / FILE), model=begin.model)
  weights = {name: array for kind in loaded.values() for name, array in trees.flatten(kind).items()}
  wrong = [name for name, array in program.weights.items() if not np.array_equal(array, weights[name])]
  if wrong:
    raise RunError(f"{len(wrong)} arrays are not read back as they were, such as {wrong[:3]}, so nothing was written."
                   "\nReport it with the version of vft; --format=vft exports them under our names.")
  return jax.jit(program.call)(weights, video)
