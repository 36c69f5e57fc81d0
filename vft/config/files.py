"""Config files: find, load, save and compare. Every field and default is born in configs/default.py."""
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft.config import masking
from vft.errors import ConfigError, did_you_mean

_HERE = Path(__file__).resolve().parents[1]
SHIPPED = next(p for p in (_HERE / "configs", _HERE.parent / "configs") if (p / "default.py").is_file())

FREE = ("groups", "tasks", "model.options", "data.options")  # their keys are the user's
HARMLESS = ("data.workers", "data.decode_timeout_s", "data.cache", "data.cache_dir", "data.cache_max_gb",
            "data.tfds_dir", "data.stride_s", "eval.chunk", "features", "log", "report",
            "train.log_every", "train.memory_gb", "model.remat")


def _load_module(name: str, path: Path):
  spec = importlib.util.spec_from_file_location(name, path)
  if spec is None or spec.loader is None:
    raise ConfigError(f"{path} is not a Python file.")
  module = importlib.util.module_from_spec(spec)
  sys.modules[name] = module
  spec.loader.exec_module(module)
  return module


def find(name: str) -> Path:
  """The file of a config: a path, or the name of a shipped one ("medical", "configs/medical.py")."""
  path = Path(name)
  for candidate in (path, SHIPPED / path.name, SHIPPED / f"{path.name}.py"):
    if candidate.is_file():
      return candidate.resolve()
  known = sorted(p.stem for p in SHIPPED.glob("*.py") if p.stem not in ("__init__", "default", "presets"))
  raise ConfigError(f"There is no config {name!r}{did_you_mean(path.stem, known)}\n"
                    f"Give the path of a file, or one of the shipped ones: {', '.join(known)}.")


def load(name: str) -> ConfigDict:
  """Runs get_config() of the file, or reads the config.json of a run.

  `from configs import ...` inside the file finds the shipped configs from any folder.

  >>> config = load("medical")
  >>> config.model.name, config.train.batch
  ('i3d', 32)
  >>> config.train.bach = 16  # locked
  Traceback (most recent call last):
    ...
  AttributeError: ...Key "bach" does not exist and cannot be added since the config is locked...
  """
  path = find(name)
  if path.suffix == ".json":
    return _load_json(path)
  if "configs" not in sys.modules:
    _load_module("configs", SHIPPED / "__init__.py").__path__ = [str(SHIPPED)]
  folders = sys.modules["configs"].__path__
  if str(path.parent) not in folders:
    folders.append(str(path.parent))
  try:
    config = _load_module(f"_vft_config_{path.stem}", path).get_config()
  except ConfigError:
    raise
  except Exception as e:  # whatever the user's file does
    text = str(e.args[0] if isinstance(e, KeyError) and e.args else e)
    raise ConfigError(f"{path}: {type(e).__name__}: {text}\nEvery field is listed in {SHIPPED / 'default.py'}; "
                      "-v shows where it happened.") from e
  if not isinstance(config, ConfigDict):
    raise ConfigError(f"{path}: get_config() returned {type(config).__name__}; expected the ConfigDict of "
                      "default.get_config(), changed.")
  return config


def _load_json(path: Path) -> ConfigDict:
  try:
    return from_json(path.read_text())
  except (ValueError, TypeError, OverflowError, AttributeError) as e:  # the last of a key such as __init__
    raise ConfigError(f"{path} is no config.json: {e}. Give a .py file with get_config(), or the config.json of a run."
                      ) from e


def fields(config: ConfigDict) -> dict[str, Any]:
  """{"train.batch": 32, ...}: every leaf by its flag's name.

  >>> fields(load("medical"))["data.num_frames"]
  16
  """
  flat = {}
  for key, value in config.items():
    inner = fields(value) if isinstance(value, ConfigDict) else None
    flat.update({f"{key}.{k}": v for k, v in inner.items()} if inner else {key: value})
  return flat


def to_json(config: ConfigDict) -> str:
  """The resolved config, as config.json holds it: secrets are masked."""
  return json.dumps(masking.masked(config.to_dict()), indent=1, sort_keys=True) + "\n"


def from_json(text: str) -> ConfigDict:
  """The config of a finished run; a .py file beside it is never run."""
  return ConfigDict(_tuples(json.loads(text))).lock()


def _tuples(value: Any) -> Any:
  if isinstance(value, dict):
    return {k: _tuples(v) for k, v in value.items()}
  return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def difference(old: ConfigDict, new: ConfigDict) -> list[str]:
  """Lines "train.batch: 32 -> 16" for the fields that change a result.

  >>> difference(load("medical"), load("medical_finetune"))
  ['augment.enabled: False -> True', ..., 'train.epochs: 60 -> 5', 'train.eval_every: 5 -> 1']
  """
  a, b = (fields(from_json(to_json(c))) for c in (old, new))
  changed = [k for k in sorted(a.keys() | b.keys()) if a.get(k) != b.get(k)]
  harmless = tuple(f"{h}." for h in HARMLESS)
  return [f"{k}: {a.get(k)} -> {b.get(k)}" for k in changed if not f"{k}.".startswith(harmless)]
