"""The model, its head and what it starts from: fields that must fit each other."""
import math

from ml_collections import ConfigDict

from vft.config.ranges import CHOICES, check_choice
from vft.errors import ConfigError

# Fields that a head does not look at, and what they then must be.
IDLE = {"attentive": ("pool", "temporal"), "transformer": ("temporal",), "tcn": ("temporal",),
        "original": ("pool", "temporal")}
HEADS = {"video": ("linear", "mlp", "transformer", "tcn"), "patient": ("linear", "mlp")}  # of sequence.unit
UNUSED = {"pool": "", "temporal": "mean"}


def check_model(model: ConfigDict) -> None:
  """The head and the statistics of the input."""
  for field in IDLE.get(model.head, ()):
    if model[field] != UNUSED[field]:
      raise ConfigError(f"config.model.{field} is {model[field]!r}, but the head {model.head!r} does not use it: leave "
                        f"it at {UNUSED[field]!r}, or choose --config.model.head=linear.")
  if model.head == "attentive" and model.depth > 4:
    raise ConfigError(f"config.model.depth is {model.depth}; the attentive head has 1 to 4 blocks (arXiv:2506.09985).")
  if model.head == "transformer" and model.pool == "flatten":
    raise ConfigError("config.model.pool='flatten' gives vectors of 10,000 and more channels, too wide for the head "
                      "'transformer': use --config.model.pool=mean, or --config.model.head=tcn.")
  if min(model.hidden, default=1) < 1 or (model.head == "tcn" and not model.hidden):
    raise ConfigError(f"config.model.hidden is {tuple(model.hidden)}; expected widths above 0, such as (256, 128); the "
                      "head 'tcn' needs the first.")
  if bool(model.mean) != bool(model.std):
    raise ConfigError(f"config.model.mean is {tuple(model.mean)} and config.model.std {tuple(model.std)}; give both, "
                      "or () for both: those that the family was published with.")
  for field, lowest in (("mean", 0.0), ("std", 1e-6)):
    if model[field] and (len(model[field]) != 3 or not all(lowest <= x <= 1 for x in model[field])):
      raise ConfigError(f"config.model.{field} is {tuple(model[field])}; expected three numbers, of red, green and "
                        f"blue, in 0..1{' and above 0' if lowest else ''}, such as (0.5, 0.5, 0.5). Divide those of "
                        "pixels in 0..255 by 255.")


def check_sequence(config: ConfigDict) -> None:
  """The head that a sequence needs, and what is about single clips only."""
  unit, m = config.sequence.unit, config.model
  if unit != "clip":
    check_choice(f"config.model.head, where config.sequence.unit is {unit!r},", m.head, HEADS[unit])
    if config.augment.flip_pairs:
      raise ConfigError("config.augment.flip_pairs swaps the labels of single clips, but config.sequence.unit is "
                        f"{unit!r}: set it to (), and config.augment.flip to 0 where side matters.")
  if unit == "video" and config.eval.views * config.eval.crops > 1:
    raise ConfigError("config.eval.views and config.eval.crops are about videos with one label; where config.sequence."
                      "unit is 'video' every moment is one clip: set both to 1.")
  if m.stages > 1 and (unit, m.head) != ("video", "tcn"):
    raise ConfigError(f"config.model.stages is {m.stages}, which only the head 'tcn' over config.sequence.unit='video' "
                      "has: set it to 1.")


def check_init(config: ConfigDict) -> None:
  """Fields of config.init that only mean something beside others."""
  init = config.init
  for field, usual in (("layout", ""), ("inflate", "centre"), ("map_labels", False)):
    if not init.weights and init[field] != usual:
      raise ConfigError(f"config.init.{field} is {init[field]!r}, but config.init.weights is empty: name the weights, "
                        f"or leave it at {usual!r}.")
  if init.map_labels and config.model.head not in ("linear", "attentive", "original"):
    raise ConfigError(f"config.init.map_labels starts from the published classifier, which does not stand on the head "
                      f"{config.model.head!r}: use --config.model.head=original or linear.")


def check_probe(config: ConfigDict) -> None:
  """The grid of `vft probe`, and a head that comes from one."""
  for head in config.probe.heads:
    check_choice("config.probe.heads", head, CHOICES["model.head"])
  for field, usual in (("lr", "(1e-3, 1e-2)"), ("wd", "(0.0, 1e-3)")):
    values = config.probe[field]
    if not values or not all(isinstance(x, int | float) and 0 <= x < math.inf for x in values):
      raise ConfigError(f"config.probe.{field} is {values!r}; expected one number or more, each 0 or more, such as "
                        f"{usual}.")
    if len(set(values)) < len(values):
      raise ConfigError(f"config.probe.{field} names a number twice: {values!r}.")
  if config.init.from_probe and config.data.folds:
    raise ConfigError("config.init.from_probe is set, but the head of a probe has learned from patients on whom some "
                      "of the folds are tested: set config.data.folds to 0, or config.init.from_probe to ''.")
