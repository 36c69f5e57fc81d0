"""What a sweep tries: config fields with ranges or lists of values, written as in --over train.batch=16,32."""
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_collections import ConfigDict

from vft import config as configs
from vft.errors import ConfigError, did_you_mean

# Fields that decide which validation clips there are, or what is measured on them: figures would not compare.
FIXED = ("seed", "train.select", "data.source", "data.root", "data.options", "data.classes", "data.split",
         "data.official", "data.folds", "data.on_duplicate", "tasks", "sequence")
IDLE = ("controls", "log", "features", "eval.bootstrap", "eval.calibrate", "eval.threshold", "eval.rate")
BLOCKS = "blocks"  # the name of the field that --blocks tries


@dataclass(frozen=True)
class Field:
  """One field: a list of `values`, as a flag takes them, or numbers from `low` to `high`."""
  name: str
  values: tuple[str, ...] = ()
  low: float = 0.0
  high: float = 0.0
  log: bool = False
  whole: bool = False  # whole numbers only

  @property
  def short(self) -> str:
    """The name in tables: "head.lr" of groups.head.lr, "batch" of train.batch."""
    return self.name.removeprefix("groups.") if self.name.startswith("groups.") else self.name.rsplit(".", 1)[-1]

  @property
  def count(self) -> float:
    """How many different values there are; infinite for a range of real numbers."""
    return len(self.values) or (int(self.high - self.low) + 1 if self.whole else math.inf)

  @property
  def ends(self) -> tuple[str, ...]:
    """The values that are checked before the first trial: all of a list, both ends of a range."""
    return self.values or (self.text(self.low), self.text(self.high))

  def text(self, value: Any) -> str:
    """A value as a flag takes it; real numbers with four digits, which people can read and copy."""
    return str(value) if self.values else str(int(value)) if self.whole else f"{value:.4g}"

  def suggest(self, trial: Any) -> str:
    """The value of an Optuna trial, drawn by its sampler or kept from before."""
    if self.values:
      return trial.suggest_categorical(self.name, self.values)
    if self.whole:
      return self.text(trial.suggest_int(self.name, int(self.low), int(self.high), log=self.log))
    return self.text(trial.suggest_float(self.name, self.low, self.high, log=self.log))

  def __str__(self) -> str:
    return ",".join(self.values) or f"{self.low:g}..{self.high:g}{':log' if self.log else ''}"


def parse(texts: Sequence[str], config: ConfigDict) -> tuple[Field, ...]:
  """Each FIELD=RANGE -> Field. Raises ConfigError for what is no field, no range, or not the field's kind."""
  found = [_parse_one(text, configs.fields(config), config) for text in texts]
  twice = sorted({f.name for f in found if sum(g.name == f.name for g in found) > 1})
  if twice:
    raise ConfigError(f"--over names {', '.join(twice)} twice; give each field once.")
  return tuple(found)


def _parse_one(text: str, known: Mapping[str, Any], config: ConfigDict) -> Field:
  name, equals, said = text.partition("=")
  name = name.removeprefix("config.")
  if not equals or not said:
    raise ConfigError(f"--over {text}: expected FIELD=RANGE, such as groups.head.lr=1e-4..1e-1:log, train.epochs=5..20 "
                      "or train.batch=16,32,64.")
  if name not in known:
    raise ConfigError(_unknown(name, known, config))
  if f"{name}.".startswith(tuple(f"{f}." for f in FIXED)):
    raise ConfigError(f"--over {text}: {name} decides which clips validation has, or what is measured on them, so its "
                      "values cannot be compared. Make a sweep for each of them.")
  if f"{name}.".startswith(tuple(f"{f}." for f in IDLE)):
    raise ConfigError(f"--over {text}: {name} moves no validation figure; set it by --config.{name}=VALUE.")
  numbers, _, scale = said.partition(":")
  if ".." in numbers and isinstance(known[name], int | float):
    return _range(name, text, numbers, scale, known[name])
  values = tuple(dict.fromkeys(re.split(r",(?![^(\[]*[)\]])", said)))  # no comma inside brackets
  if len(values) < 2:
    raise ConfigError(f"--over {text}: one value is no choice; write --config.{name}={said}, or several: "
                      f"--over {name}={said},....")
  return Field(name, values)


def _unknown(name: str, known: Mapping[str, Any], config: ConfigDict) -> str:
  group, _, key = name.removeprefix("groups.").partition(".")
  if name.startswith("groups.") and group in config.groups and key in config.optim.group:
    return (f"config.groups.{group} has no {key} of its own; it has that of config.optim.group.{key}.\nWrite --over "
            f"optim.group.{key}=..., or give the group its own in the config file.")
  return f"config.{name} is unknown{did_you_mean(name, known)}\nEvery field is listed in {configs.SHIPPED}/default.py."


def _range(name: str, text: str, numbers: str, scale: str, now: Any) -> Field:
  """LOW..HIGH, and :log after it."""
  whole = isinstance(now, int)
  if isinstance(now, bool):
    raise ConfigError(f"--over {text}: config.{name} is True or False; write --over {name}=True,False.")
  try:
    low, high = (float(n) for n in numbers.split(".."))
  except ValueError as e:
    raise ConfigError(f"--over {text}: expected LOW..HIGH, two numbers, such as --over {name}=1..10.") from e
  if scale not in ("", "log"):
    raise ConfigError(f"--over {text}: ':{scale}' is unknown; only :log may stand behind a range.")
  if not (math.isfinite(low) and math.isfinite(high) and low < high):
    raise ConfigError(f"--over {text}: the lower end, {low:g}, must be below the upper, {high:g}.")
  if scale and low <= 0:
    raise ConfigError(f"--over {text}: a logarithmic range starts above 0, not at {low:g}.")
  if whole and (low % 1 or high % 1):
    raise ConfigError(f"--over {text}: config.{name} is a whole number, such as {now}; give whole ends.")
  return Field(name, (), low, high, scale == "log", whole)
