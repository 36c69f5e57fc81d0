"""StableHLO by jax.export: programs for CPUs, CUDA and TPUs and any number of clips, weights.npz beside them."""
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from vft import startup
from vft.export.program import Program
from vft.export.sequence import Sequence

PLATFORMS = ("cpu", "cuda", "tpu")


def write(folder: Path, program: Program | Sequence, begin: startup.Prepared) -> str:
  """The arrays stay outside of the programs: compilers try to compute with constants."""
  weights = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), program.weights)
  for name, (function, arrays) in program.parts().items():
    exported = export.export(jax.jit(function), platforms=PLATFORMS)(weights, *arrays)
    (folder / f"{name}.stablehlo").write_bytes(exported.serialize())
  np.savez(folder / "weights.npz", **program.weights)  # pyright: ignore[reportArgumentType]
  example = "clips.txt" if isinstance(program, Program) else "sequences.txt"
  texts = (Path(__file__).with_name(name).read_text() for name in ("reading.txt", example))
  (folder / "predict.py").write_text("\n\n".join(texts))
  what = "a program" if isinstance(program, Program) else "two programs, trunk and head,"
  return f"{len(program.weights)} arrays of {begin.model.family} and {what} for {', '.join(PLATFORMS)}."


def run(folder: Path, program: Program | Sequence, begin: startup.Prepared, seen: Any) -> Mapping[str, Any]:
  """What the written files say of clips (B, T, R, R, 3), or of sequences of them."""
  with np.load(folder / "weights.npz") as file:
    weights = dict(file)
  def call(name: str) -> Any:
    exported = export.deserialize(bytearray((folder / f"{name}.stablehlo").read_bytes()))
    return functools.partial(exported.call, weights)
  return program.answers({name: call(name) for name in program.parts()}, seen)
