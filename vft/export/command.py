"""vft export RUN OUT [--format=stablehlo|safetensors|onnx|vft]: the best model of a run, checked against it."""
import functools
import os
import shutil
import time
from pathlib import Path
from typing import Any

from vft import mirror, predict
from vft import workdir as workdirs
from vft.errors import ConfigError, WeightsError
from vft.export import card, merged, onnx_file, original, program, sequence, stablehlo


def export(workdir: str, out: str, kind: str) -> None:
  """Writes the folder OUT (stablehlo, safetensors, onnx), or OUT.safetensors and OUT.json (vft).

  Raises ConfigError or WeightsError where `workdir` holds no finished run that fits or OUT cannot be written, RunError
  where what was written says something else than the run; then OUT is not there.
  """
  if kind == "vft":
    return merged.write(workdir, out)
  path, begun = Path(out), time.monotonic()
  if path.exists():
    raise ConfigError(f"{path} exists already; choose another name.")
  new = path.with_name(f".{path.name}.new{os.getpid()}")
  try:
    new.mkdir(parents=True)
    said = FORMATS[kind](mirror.fetched(workdir), new)
    new.replace(path)
  except OSError as error:
    raise WeightsError(f"{path} cannot be written: {error.strerror or error}.") from None
  finally:
    shutil.rmtree(new, ignore_errors=True)
  size = sum(file.stat().st_size for file in path.iterdir())
  print(f"{path}: {kind}, {size / 1e6:.1f} MB in {time.monotonic() - begun:.1f} s; {said}"
        + (f"\nTry it: python {path / 'predict.py'} VIDEO" if (path / "predict.py").exists() else ""))


def _write(form: Any, workdir: Path, folder: Path) -> str:
  """Everything, and then the check of what lies there; returns a line on it."""
  config, tasks, begin = predict.load_run(workdir)
  unit = config.sequence.unit
  if unit != "clip" and form is not stablehlo:
    raise ConfigError(f"{workdir} answers for a {unit} from many clips (sequence.unit={unit!r}); this format holds a "
                      f"model of one clip.\nStableHLO holds two programs, trunk and head: vft export {workdir} OUT; "
                      f"all arrays, for vft elsewhere: vft export {workdir} OUT.safetensors --format=vft")
  kind: Any = program if unit == "clip" else sequence
  about, made = card.about(config, tasks, begin, workdir), kind.make(config, tasks, begin)
  workdirs.write_json(folder / "export.json", about)
  said = form.write(folder, made, begin)
  seen, what = kind.find_clips(config, workdir)
  gap = kind.check(tasks, begin, seen, form.run(folder, made, begin, seen))
  card.write(folder / "README.md", about, config, begin, workdir, what, gap, said)
  return f"{said} Equal to the run within {gap:.1e} on {what}."


FORMATS = {"stablehlo": functools.partial(_write, stablehlo), "safetensors": functools.partial(_write, original),
           "onnx": functools.partial(_write, onnx_file)}
