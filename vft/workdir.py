"""The folder of a run: who owns it, which config it belongs to, where the run was made."""
import contextlib
import errno
import importlib.metadata
import json
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import filelock
import jax
from ml_collections import ConfigDict

from vft import config as configs
from vft import mirror
from vft.data import decoders, guard
from vft.data import manifest as manifests
from vft.errors import ConfigError, RunError

PACKAGES = ("vft", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "tensorflow-datasets",
            "ml-collections", "dm-pix", "clu", "av", "numpy", "scikit-learn")


def write_json(path: Path, value: Any) -> None:
  """Writes all of it or nothing; non-finite numbers are refused, since JSON has none."""
  _write(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def _write(path: Path, text: str) -> None:
  new = path.with_name(f"{path.name}.tmp")
  new.write_text(text)
  new.replace(path)


@contextlib.contextmanager
def locked(workdir: Path) -> Iterator[None]:
  """Makes the folder and holds its lock. Raises RunError when another process writes there or nobody can."""
  owner = workdir / ".owner"
  try:
    workdir.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(workdir / ".lock", timeout=0):
      owner.write_text(f"process {os.getpid()} on {socket.gethostname()} since {time.strftime('%F %T')}")
      with mirror.held(workdir):
        yield
  except filelock.Timeout as e:
    raise RunError(f"{workdir} is in use by {owner.read_text()}; wait for it, or give another --workdir.") from e
  except OSError as e:
    if e.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT):
      raise
    raise RunError(f"{workdir} cannot be written ({e.strerror}); make room there, or give another --workdir.") from e


def settle_config(workdir: Path, config: ConfigDict, kind: str = "run") -> None:
  """Writes config.json, or raises ConfigError where the folder holds a run with another config.

  The kind "probe" writes probe.json: what a grid was asked to do. Its config.json becomes that of the chosen point.
  """
  path = workdir / ("probe.json" if kind == "probe" else "config.json")
  other = workdir / ("config.json" if kind == "probe" else "probe.json")
  if other.is_file() and not (kind == "probe" and path.is_file()):
    raise ConfigError(f"{workdir} is not the folder of a {kind}: it has {other.name}.\nGive another --workdir.")
  if path.is_file() and _begun(workdir):
    changed = configs.difference(configs.from_json(path.read_text()), config)
    if changed:
      lines = "\n".join(f"  {line}" for line in changed)
      raise ConfigError(f"{workdir} holds a {kind} with another config (old -> new):\n{lines}\n"
                        "Give another --workdir for the new config, or the old values to go on.")
  write_config(path, config)


def _begun(workdir: Path) -> bool:
  """Whether there is more than a config: a run that its data stopped may go on with a corrected one."""
  return any(p.name not in ("config.json", "probe.json", "env.json") for p in workdir.glob("[!.]*"))


def write_config(path: Path, config: ConfigDict) -> None:
  """Writes all of a config or nothing."""
  _write(path, configs.to_json(config))


def load_config(workdir: Path) -> ConfigDict:
  """The resolved config of a run. Raises ConfigError where there is none."""
  path = workdir / "config.json"
  if not path.is_file():
    raise ConfigError(f"{workdir} is not the folder of a run: it has no config.json.\n"
                      "Make one by: python -m vft.main --config=configs/medical.py --workdir=FOLDER")
  return configs.from_json(path.read_text())


def load_manifest(config: ConfigDict, folder: Path) -> manifests.Manifest:
  """The manifest of the folder, or a new one, written once; what was skipped goes to skipped.csv."""
  path = folder / "manifest.csv"
  if path.is_file():
    return guard.guard(manifests.load(path, config), folder, config)
  if config.data.source.startswith("tfds:"):
    print(f"Reading {config.data.source}; a simulated data set is made on first use, in a minute.", file=sys.stderr)
  manifest = manifests.make_manifest(config, inspect=partial(decoders.probe_all, limit_s=config.data.decode_timeout_s))
  for warning in manifest.warnings:
    logging.warning(warning)
  manifest.save(path)
  return guard.guard(manifest, folder, config)


def settle_environment(folder: Path) -> None:
  """Writes env.json; where a run goes on with other versions than it began with, a warning names both."""
  path, now = folder / "env.json", environment()
  if path.is_file():
    with contextlib.suppress(ValueError, KeyError, TypeError):  # a damaged one is made anew
      before = json.loads(path.read_text())["packages"]
      changed = [f"{k} {before[k]} -> {v}" for k, v in now["packages"].items() if k in before and before[k] != v]
      if changed:
        logging.warning("%s goes on with other versions than it began with: %s", folder, ", ".join(changed))
  write_json(path, now)


def environment() -> dict[str, Any]:
  """Versions, devices and machine: what env.json holds."""
  def version(name):
    try:
      return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
      return None
  return {"python": platform.python_version(), "platform": platform.platform(), "cpus": os.cpu_count(),
          "devices": [str(d) for d in jax.devices()], "device_kind": jax.devices()[0].device_kind,
          "processes": jax.process_count(), "packages": {name: version(name) for name in PACKAGES}}
