"""ONNX by jax2onnx, checked by onnxruntime: model.onnx for one clip, its arrays inside.

Neither is a dependency of vft: pip install jax2onnx onnxruntime in an environment of their own that has vft, too.
"""
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np

from vft import startup
from vft.errors import ConfigError, RunError
from vft.export.program import Program

FILE = "model.onnx"


def write(folder: Path, program: Program, begin: startup.Prepared) -> str:
  """A graph of one clip (1, T, R, R, 3) uint8. Raises ConfigError without jax2onnx, RunError where it cannot do it."""
  jax2onnx = _load("jax2onnx")
  video = jax.ShapeDtypeStruct((1, *program.shape), np.uint8)
  names = list(jax.eval_shape(program.one, program.weights, video))
  try:
    with _libraries():
      jax2onnx.to_onnx(lambda video: tuple(program.one(program.weights, video).values()), [video], return_mode="file",
                       output_path=str(folder / FILE), input_names=["video"], output_names=names)
  except Exception as error:  # of whatever kind, from inside of jax2onnx
    raise RunError(f"jax2onnx cannot write {begin.model.family}: {type(error).__name__}: {str(error)[:300]}\n"
                   "Use --format=stablehlo, or --format=safetensors.") from error
  return f"A graph of {begin.model.family} for one clip at a time."


def run(folder: Path, program: Program, begin: startup.Prepared, video: np.ndarray) -> Mapping[str, Any]:
  """What onnxruntime says of clips (B, T, R, R, 3). Raises RunError where it cannot run the file."""
  runtime = _load("onnxruntime")
  try:
    session = runtime.InferenceSession(str(folder / FILE), providers=["CPUExecutionProvider"])
    found = [session.run(None, {"video": clip[None]}) for clip in video]
  except Exception as error:
    raise RunError(f"onnxruntime cannot run {begin.model.family}: {str(error)[:300]}\n"
                   "Use --format=stablehlo, or --format=safetensors.") from error
  names = [output.name for output in session.get_outputs()]
  return {name: np.concatenate(parts) for name, parts in zip(names, zip(*found, strict=True), strict=True)}


def _load(name: str) -> Any:
  try:
    return importlib.import_module(name)
  except ImportError:
    raise ConfigError(f"--format=onnx needs {name}, which is not installed. In an environment of its own:\n"
                      "python3 -m venv onnx && onnx/bin/pip install -e . jax2onnx onnxruntime") from None


@contextmanager
def _libraries() -> Iterator[None]:
  """Until it is left, what is traced takes the library's lowerings: jax2onnx knows no choice by platform."""
  usual = jax.lax.platform_dependent
  def library(*args: Any, default: Any, **_: Any) -> Any:
    return default(*args)
  jax.clear_caches()
  jax.lax.platform_dependent = library
  try:
    yield
  finally:
    jax.lax.platform_dependent = usual
    jax.clear_caches()
