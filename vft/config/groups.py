"""What trains: groups of parameters, their rules and stages, LoRA."""
import re
from typing import Any

from ml_collections import ConfigDict

from vft.config.ranges import check_choice
from vft.errors import ConfigError

SCHEDULES = ("constant", "linear", "cosine")


def check_groups(config: ConfigDict) -> None:
  """Rules and groups, and what each group has."""
  known = tuple(config.optim.group)
  for rule in config.rules:
    if not (isinstance(rule, tuple | list) and len(rule) == 2):
      raise ConfigError(f"config.rules has {rule!r}; expected pairs (pattern, group), such as "
                        '((\"head/.*\", \"head\"), (\".*\", \"trunk\")).')
    check_pattern("config.rules", rule[0])
  for name, group in config.groups.items():
    if not isinstance(group, ConfigDict):
      raise ConfigError(f"config.groups.{name} is {group!r}; expected dict(train=..., lr=..., wd=..., schedule=...).")
    for key, value in group.items():
      check_choice(f"a key of config.groups.{name}", key, known)
      if key in ("lr", "wd") and not (isinstance(value, int | float) and value >= 0):
        raise ConfigError(f"config.groups.{name}.{key} is {value!r}; expected a number, 0 or more.")
    check_choice(f"config.groups.{name}.schedule", group.get("schedule", config.optim.group.schedule), SCHEDULES)
    if config.optim.name == "adam" and group.get("wd", config.optim.group.wd):
      raise ConfigError(f"config.groups.{name}.wd is set, but adam has no decoupled decay: use "
                        "--config.optim.name=adamw, or wd=0.")
  named = {group for _, group in config.rules}
  if named != set(config.groups):
    raise ConfigError(f"config.groups defines {sorted(config.groups)}, config.rules use {sorted(named)}; "
                      "expected the same names in both.")
  if config.optim.warmup_unit == "share" and config.optim.warmup > 1:
    raise ConfigError(f"config.optim.warmup is {config.optim.warmup:g}; a share of the steps is 0 to 1. For a number "
                      "of them add --config.optim.warmup_unit=steps, or =epochs.")


def check_stages(config: ConfigDict) -> None:
  """Which groups thaw, and when."""
  last, seen = 0, set()
  for stage in config.train.stages:
    pair = isinstance(stage, tuple | list) and len(stage) == 2
    if not (pair and isinstance(stage[0], int) and isinstance(stage[1], tuple | list) and stage[1]):
      raise ConfigError(f"config.train.stages has {stage!r}; expected pairs (epoch, groups), such as "
                        '((3, ("late",)), (6, ("trunk",))).')
    epoch, names = stage
    if not last < epoch < config.train.epochs:
      raise ConfigError(f"config.train.stages thaws {', '.join(map(str, names))} after epoch {epoch}; expected rising "
                        f"epochs from {last + 1} to {config.train.epochs - 1}: config.train.epochs is "
                        f"{config.train.epochs}.")
    for name in names:
      check_choice("a group of config.train.stages", name, tuple(config.groups))
      if not config.groups[name].get("train", config.optim.group.train):
        raise ConfigError(f"config.train.stages thaws {name!r}, but config.groups.{name} has train=False: set it to "
                          "True; the group is frozen until its stage begins.")
      if name in seen:
        raise ConfigError(f"config.train.stages names {name!r} twice; a group thaws once.")
    last, seen = epoch, seen | set(names)


def check_lora(lora: ConfigDict) -> None:
  """The patterns of kernels, which the model itself is asked about later."""
  if not (isinstance(lora.targets, tuple | list) and lora.targets and all(isinstance(t, str) for t in lora.targets)):
    raise ConfigError(f"config.lora.targets is {lora.targets!r}; expected patterns of whole names, such as "
                      '(".*/(q|v)/kernel",); rank=0 switches LoRA off.')
  for pattern in lora.targets:
    check_pattern("config.lora.targets", pattern)


def check_pattern(key: str, pattern: Any) -> None:
  """Raises ConfigError for what is no regular expression."""
  if not isinstance(pattern, str):
    raise ConfigError(f"{key} has the pattern {pattern!r}; expected text, such as 'head/.*'.")
  try:
    re.compile(pattern)
  except (re.error, OverflowError, RecursionError) as e:
    raise ConfigError(f"{key} has the pattern {pattern!r}, which is no regular expression: {e}.") from e
