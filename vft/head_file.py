"""The head of a probe as a file: what it stands on, and how a run starts from it (LP-FT, arXiv:2202.10054)."""
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from vft import lora, trees
from vft.errors import WeightsError
from vft.tasks import Task

NAME = "head.safetensors"
OF_HEAD = "Set config.model (head, pool, temporal, hidden, depth) to that of the probe, or probe with this head."
OF_ALL = ("Run `vft probe` with the data, seed, weights and model of this config, in another --workdir, and start from "
          "that.")


def identity(model: Any, tasks: tuple[Task, ...], params: Mapping[str, Any], batch_stats: Mapping[str, Any],
             manifest_sha256: str) -> dict[str, Any]:
  """What must be the same for a head to have the same meaning. Dropout may differ: it has no parameters.

  LoRA may differ too: `params` are first values, with which it adds nothing to the trunk.
  """
  apart = ("head/", lora.PREFIX)
  trunk = {name: x for name, x in {**params, **batch_stats}.items() if not name.startswith(apart)}
  return {"head": {k: v for k, v in model.spec._asdict().items() if k != "dropout"},
          "classes": {t.name: list(t.classes) for t in tasks},
          "trunk": f"sha256 {trees.sha256(trunk)}",
          "division into train, val and test": f"manifest.csv with sha256 {manifest_sha256}"}


def save(folder: Path, head: Mapping[str, np.ndarray], about: Mapping[str, Any], point: Mapping[str, Any]) -> None:
  """Writes the head with its `identity` and the point of the grid that it is, with the name of the base weights."""
  new = folder / f".{NAME}.new"
  save_file(dict(head), new, metadata={"vft": json.dumps({"identity": about, "point": point})})
  new.replace(folder / NAME)


def load(folder: str, want: Mapping[str, Any],
         params: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
  """The head in the folder of a finished probe, and its point of the grid.

  Raises WeightsError where there is none, or `want`, the `identity` of this run, or the shapes in `params` differ.
  """
  path = Path(folder) / NAME
  try:
    with safe_open(path, "np") as file:
      about = json.loads(file.metadata()["vft"])
      head = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
  except (OSError, SafetensorError, KeyError, TypeError, ValueError) as e:
    raise WeightsError(f"config.init.from_probe is {folder!r}, but {path} cannot be read ({e}).\n"
                       "Make it by `vft probe` with this config, or set config.init.from_probe to ''.") from None
  have, want = about["identity"], json.loads(json.dumps(want))
  shapes = [{name: list(x.shape) for name, x in sorted(tree.items()) if name.startswith("head/")}
            for tree in (head, params)]
  pairs = {key: (have.get(key), want[key]) for key in want} | {"shapes": (shapes[0], shapes[1])}
  for key, (of_probe, here) in pairs.items():
    if of_probe != here:
      raise WeightsError(f"The head of the probe in {folder} does not fit this run: another {key}.\n"
                         f"  in the probe: {of_probe}\n  in this run:  {here}\n"
                         f"{OF_HEAD if key == 'head' else OF_ALL}")
  return head, about["point"]
