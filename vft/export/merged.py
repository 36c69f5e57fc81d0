"""`vft weights convert RUN OUT.safetensors`: the best model of a finished run as weights that init.weights takes."""
import numpy as np

import vft
from vft import lora, mirror, predict
from vft.weights import own


def write(workdir: str, out: str) -> None:
  """All parameters, LoRA's folded into their kernels, and statistics, under our names.

  Raises ConfigError or WeightsError where `workdir` holds no finished run, or `out` is no new .safetensors file.
  """
  path = own.new_file(out)
  config, tasks, begin = predict.load_run(mirror.fetched(workdir))
  model, state = begin.model, begin.state
  arrays = {name: np.asarray(x)
            for name, x in {**lora.fold(state.best_params, model.lora_alpha), **state.batch_stats}.items()}
  labels = tasks[0].classes if [t.name for t in tasks] == ["label"] and tasks[0].kind == "single" else ()
  own.save(path, arrays, dict(
      family=model.family, variant=model.variant, labels=labels, mean=model.mean, std=model.std,
      source=f"{config.init.weights or 'random'}, trained in {workdir}, step {int(state.step)}", sha256="",
      licence="that of the base weights", vft=vft.__version__))
  print(f"{out}: {len(arrays)} arrays of {model.family} {model.variant}".rstrip()
        + f"; use --config.init.weights={out}")
