"""StableHLO by jax.export: program.stablehlo for CPUs, CUDA and TPUs and any number of clips, weights.npz beside it."""
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from vft import startup
from vft.export.program import Program

PLATFORMS = ("cpu", "cuda", "tpu")


def write(folder: Path, program: Program, begin: startup.Prepared) -> str:
  """The arrays stay outside of the program: compilers try to compute with constants."""
  weights = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program.weights)
  (clips,) = export.symbolic_shape("clips")
  video = jax.ShapeDtypeStruct((clips, *program.shape), np.uint8)
  exported = export.export(jax.jit(program.call), platforms=PLATFORMS)(weights, video)
  (folder / "program.stablehlo").write_bytes(exported.serialize())
  np.savez(folder / "weights.npz", **program.weights)  # pyright: ignore[reportArgumentType]
  shutil.copyfile(Path(__file__).with_name("predict.txt"), folder / "predict.py")
  return f"{len(program.weights)} arrays of {begin.model.family} and a program for {', '.join(PLATFORMS)}."


def run(folder: Path, program: Program, begin: startup.Prepared, video: np.ndarray) -> Mapping[str, Any]:
  """What the written files say of clips (B, T, R, R, 3)."""
  exported = export.deserialize(bytearray((folder / "program.stablehlo").read_bytes()))
  with np.load(folder / "weights.npz") as weights:
    answer: Any = exported.call(dict(weights), video)
  return answer
