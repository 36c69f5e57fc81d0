"""What each field may be by itself: its name, type, choices, range."""
import math
import sys
from typing import Any

from ml_collections import ConfigDict

from vft.config.files import FREE, SHIPPED, fields, load
from vft.errors import ConfigError, did_you_mean

CHOICES = {
    "model.head": ("linear", "mlp", "attentive", "transformer", "tcn", "original"),
    "model.pool": ("", "mean", "cls", "cls_mean", "flatten", "windows"),
    "model.temporal": ("mean", "max", "attention", "logits"),
    "init.inflate": ("centre", "average"),
    "loss.name": ("cross_entropy", "focal", "logit_adjusted"),
    "loss.class_weights": ("none", "inverse", "effective"),
    "loss.regression": ("l1", "l2", "huber"),
    "data.channels": (1, 3),
    "data.crop": ("centre", "sector"),
    "data.on_duplicate": ("error", "drop"),
    "data.sampling": ("dense", "duration", "uniform"),
    "data.sampler": ("shuffle", "balanced"),
    "eval.threshold": ("youden", "sensitivity"),
    "eval.crops": (1, 3),
    "sequence.unit": ("clip", "video", "patient"),
    "sequence.boundary_rule": ("neighbours", "cholec80", "m2cai16"),
    "model.dtype": ("float32", "bfloat16"),
    "model.bn": ("stored", "batch"),
    "model.remat": ("none", "blocks", "dots"),
    "optim.name": ("adamw", "adam", "sgd"),
    "optim.warmup_unit": ("share", "steps", "epochs"),
}
# Kind of a field -> what it may be, and its name in messages.
TYPES: dict[str, tuple[Any, str]] = {
    "bool": (bool, "True or False"), "int": (int, "a whole number"), "float": (int | float, "a finite number"),
    "str": (str, "a text"), "tuple": (tuple | list, "a tuple"), "ConfigDict": (ConfigDict, "a dict")}
# Of the elements of tuples that are empty by default.
ELEMENTS = {"data.classes": "str", "data.window": "float", "augment.scale": "float", "model.mean": "float",
            "model.std": "float", "probe.heads": "str"}
POSITIVE = ("data.num_frames", "data.fps", "data.resize", "data.size", "data.max_pixels", "train.batch", "train.accum",
            "data.duration_s", "data.decode_timeout_s", "augment.repeats", "train.epochs", "train.eval_every",
            "train.log_every", "features.batch", "eval.views", "eval.topk", "eval.bootstrap", "mesh.fsdp",
            "init.stats_clips", "model.depth", "probe.seeds", "lora.alpha")
BETWEEN = {
    "optim.warmup": (0, math.inf), "optim.layer_decay": (0.01, 1), "train.ema": (0, 0.999999),
    "train.patience": (0, math.inf), "optim.clip_norm": (0, math.inf), "optim.group.lr": (0, math.inf),
    "optim.group.wd": (0, math.inf), "model.dropout": (0, 0.999), "model.drop_path": (0, 0.9),
    "lora.rank": (0, math.inf), "train.memory_gb": (0, math.inf), "train.label_smoothing": (0, 1),
    "data.frame_rate": (0, 10_000), "data.workers": (0, 1024), "data.max_bad_fraction": (0, 1),
    "sequence.boundary_s": (0, math.inf), "data.shots": (0, math.inf), "data.folds": (0, math.inf), "eval.rate": (0, 1),
    "augment.copies": (0, math.inf), "augment.flip": (0, 1),
    "augment.blur": (0, 1), "augment.brightness": (0, 1), "augment.contrast": (0, 1), "augment.blur_sigma": (0, 100),
    "augment.saturation": (0, 1), "augment.hue": (0, 0.5), "augment.rotate": (0, 180), "augment.randaugment": (0, 100),
    "augment.magnitude": (0, 10), "augment.speckle": (0, 1), "augment.gain": (0, 1), "augment.tgc": (0, 1),
    "augment.smoke": (0, 1), "augment.specular": (0, 1000), "augment.erase": (0, 1), "augment.mixup": (0, 100),
    "augment.cutmix": (0, 100), "data.cache_max_gb": (0, math.inf), "data.stride_s": (0, math.inf),
    "eval.chunk": (0, math.inf)}


def check_each(flat: dict[str, Any]) -> None:
  """Raises ConfigError for the first field that is unknown, missing, of another type or out of its range."""
  _check_fields(flat)
  _check_types(flat)
  for key, value in flat.items():
    if isinstance(value, float) and not math.isfinite(value):
      raise ConfigError(f"config.{key} is {value}; expected a finite number, such as --config.{key}=0.001.")
  for key, known in CHOICES.items():
    check_choice(f"config.{key}", flat[key], known)
  for key in POSITIVE:
    if flat[key] <= 0:
      raise ConfigError(f"config.{key} is {flat[key]}; expected a number above 0.")
  for key, (low, high) in BETWEEN.items():
    if not low <= flat[key] <= high:
      raise ConfigError(f"config.{key} is {flat[key]}; expected {low:g} to {high:g}.")


def _check_fields(flat: dict[str, Any]) -> None:
  """A sub-config replaced by a plain dict passes ml_collections' lock with misspelt keys and without defaults."""
  known = [k for k in fields(load(str(SHIPPED / "default.py"))) if not k.startswith(FREE)]
  given = [k for k in flat if not k.startswith(FREE)]
  unknown, missing = sorted(set(given) - set(known)), sorted(set(known) - set(given))
  if unknown or missing:
    hints = "".join(f"\n  config.{k} is unknown{did_you_mean(k, known)}" for k in unknown)
    raise ConfigError(f"The config does not have the fields of {SHIPPED / 'default.py'}.{hints}\n  missing: {missing}\n"
                      "Change a sub-config by c.model.update(name=...), never by c.model = dict(...).")


def _check_types(flat: dict[str, Any]) -> None:
  """A config.json may hold anything; a field must have the type of its default."""
  for key, usual in fields(load(str(SHIPPED / "default.py"))).items():
    if key.startswith(FREE):
      continue
    value, kind = flat[key], "float" if isinstance(usual, float) else type(usual).__name__
    if not _is(value, kind):
      raise ConfigError(f"config.{key} is {value!r}; expected {TYPES[kind][1]}, such as {usual!r}.")
    kind = ELEMENTS.get(key, type(usual[0]).__name__ if isinstance(usual, tuple) and usual else "")
    if kind and not all(_is(item, kind) for item in value):
      raise ConfigError(f"config.{key} is {value!r}; expected each of them to be {TYPES[kind][1]}.")


def _is(value: Any, kind: str) -> bool:
  """Whether a value is of a kind of TYPES. True and False are no numbers; numbers of a float are finite."""
  right = isinstance(value, TYPES[kind][0]) and isinstance(value, bool) == (kind == "bool")
  return right and (kind != "float" or abs(value) <= sys.float_info.max)


def check_choice(key: str, value: Any, known: tuple[Any, ...]) -> None:
  """Raises ConfigError where the value is not known."""
  if value not in known:
    names = [str(k) for k in known]
    raise ConfigError(f"{key} is {value!r}{did_you_mean(str(value), names)} Known: {', '.join(names)}.")
