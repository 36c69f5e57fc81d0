"""Which values fit together. Looks at values only, opens nothing."""
import math

from ml_collections import ConfigDict

from vft.config import ranges
from vft.config.files import fields
from vft.config.groups import check_groups, check_lora, check_stages
from vft.config.model import check_init, check_model, check_probe, check_sequence
from vft.config.ranges import check_choice
from vft.errors import ConfigError

CONTROLS = ("majority", "single_frame", "random_trunk")


def check(config: ConfigDict) -> None:
  """Raises ConfigError for the first value that cannot work. Looks at values only, opens nothing."""
  ranges.check_each(fields(config))
  for control in config.controls:
    check_choice("config.controls", control, CONTROLS)
  if not config.data.source:
    raise ConfigError("config.data.source is empty; expected tfds:NAME, csv:FILE, folder:FOLDER and the like, such as "
                      "--config.data.source=csv:/data/clips.csv.")
  if config.data.size > config.data.resize:
    raise ConfigError(f"config.data.size is {config.data.size}, larger than config.data.resize, {config.data.resize}, "
                      "out of which it is cut; lower the one or raise the other.")
  if len(config.data.split) != 3 or min(config.data.split) <= 0 or abs(sum(config.data.split) - 1) > 1e-6:
    raise ConfigError(f"config.data.split is {tuple(config.data.split)}; expected three shares above 0 (train, val, "
                      "test) that add up to 1, such as (0.6, 0.15, 0.25).")
  if config.train.batch % config.train.accum:
    raise ConfigError(f"config.train.batch, {config.train.batch}, is not a multiple of config.train.accum, "
                      f"{config.train.accum}.")
  _check_augment(config)
  _check_reading(config.data)
  check_model(config.model)
  check_sequence(config)
  check_init(config)
  check_groups(config)
  check_stages(config)
  check_lora(config.lora)
  _check_tasks(config)
  _check_loss(config)
  _check_subsets(config)
  check_probe(config)


def _check_tasks(config: ConfigDict) -> None:
  for name, task in config.tasks.items():
    if not isinstance(task, ConfigDict):
      raise ConfigError(f"config.tasks.{name} is {task!r}; expected dict(kind=..., column=..., classes=..., "
                        "weight=...).")
    for key in task:
      check_choice(f"a key of config.tasks.{name}", key, ("kind", "column", "classes", "weight"))
    check_choice(f"config.tasks.{name}.kind", task.get("kind", "single"), ("single", "multi", "ordinal", "regression"))
    if config.data.classes and len(config.tasks) > 1:
      raise ConfigError(f"config.data.classes cannot be those of all of {', '.join(config.tasks)}; give each its own: "
                        f"c.tasks = dict({name}=dict(classes=(...)), ...).")
    if task.get("weight", 1.0) <= 0:
      raise ConfigError(f"config.tasks.{name}.weight is {task.weight}; expected a number above 0.")


def _check_loss(config: ConfigDict) -> None:
  """Fields that no loss of these tasks looks at, see `objective.make_loss`."""
  kinds = {task.get("kind", "single") for task in config.tasks.values()} or {"single"}
  loss, smoothing, single = config.loss, config.train.label_smoothing, "single" in kinds
  if loss.name != "cross_entropy" and not single:
    raise ConfigError(f"config.loss.name is {loss.name!r}, which is of tasks of kind single, but the kinds are "
                      f"{', '.join(sorted(kinds))}: leave it at 'cross_entropy'.")
  if smoothing and (not single or loss.name == "focal"):
    why = "the focal loss does not use" if single else "only tasks of kind single use"
    raise ConfigError(f"config.train.label_smoothing is {smoothing:g}, which {why}: set it to 0"
                      f"{', or config.loss.name to cross_entropy' if single else ''}.")
  if loss.class_weights != "none" and "multi" not in kinds and (not single or loss.name == "logit_adjusted"):
    why = "logit_adjusted, itself for rare classes, does not use" if single else "only kinds single and multi use"
    raise ConfigError(f"config.loss.class_weights is {loss.class_weights!r}, which {why}: set it to 'none'"
                      f"{', or config.loss.name to cross_entropy' if single else ''}.")


def _check_subsets(config: ConfigDict) -> None:
  """Fields of config.data that go by the classes of a task, and the number of folds."""
  kinds = {name: task.get("kind", "single") for name, task in config.tasks.items()}
  for field, usual in (("shots", 0), ("sampler", "shuffle")):
    if config.data[field] != usual and kinds and not {"single", "ordinal"} & set(kinds.values()):
      raise ConfigError(f"config.data.{field} is {config.data[field]!r}, which goes by classes, but no task has "
                        f"one class or grade a clip: {kinds}.\nAdd a task of kind single or ordinal, or leave it at "
                        f"{usual!r}.")
    fits = ("clip", "patient") if field == "sampler" else ("clip",)
    if config.data[field] != usual and config.sequence.unit not in fits:
      raise ConfigError(f"config.data.{field} is {config.data[field]!r}, which chooses single clips, but config."
                        f"sequence.unit is {config.sequence.unit!r}: leave it at {usual!r}, or set the unit to 'clip'.")
  if config.data.folds == 1:
    raise ConfigError("config.data.folds is 1; expected 2 or more, such as --config.data.folds=5, or 0 for one run.")


def _check_augment(config: ConfigDict) -> None:
  """Fields of config.augment that are more than one number, or must fit others."""
  a = config.augment
  for key, value, high in (("scale", a.scale or (1.0, 1.0), 1.0), ("aspect", a.aspect, math.inf),
                           ("erase_area", a.erase_area, 1.0)):
    if len(value) != 2 or not 0 < value[0] <= value[1] <= high:
      raise ConfigError(f"config.augment.{key} is {tuple(value)}; expected two rising numbers above 0"
                        f"{'' if high == math.inf else ', at most 1'}, such as (0.5, 1.0).")
  if a.scale and not a.crop:
    raise ConfigError("config.augment.scale is the size of a random crop, but config.augment.crop is False; set that "
                      "to True, or the scale to ().")
  if config.train.batch % a.repeats or (a.copies and a.copies % a.repeats):
    raise ConfigError(f"config.augment.repeats, {a.repeats}, must divide config.train.batch, {config.train.batch}, and "
                      f"config.augment.copies, {a.copies}.")
  if config.data.cache and a.enabled and a.time_jitter and not a.copies:
    raise ConfigError("config.data.cache keeps decoded clips, but with config.augment.time_jitter every epoch shows "
                      "other moments.\nGive a number of start times per clip, such as --config.augment.copies=4 (flips "
                      "and colours repeat with them), or --config.augment.time_jitter=False.")
  if not all(isinstance(p, tuple | list) and len(p) == 2 and all(isinstance(c, str) for c in p) for p in a.flip_pairs):
    raise ConfigError(f"config.augment.flip_pairs is {a.flip_pairs!r}; expected pairs of class names, such as "
                      '(("left", "right"),).')


def _check_reading(data: ConfigDict) -> None:
  """Boxes and the window of grey values."""
  for box in data.mask:
    four = isinstance(box, tuple | list) and len(box) == 4
    if not (four and 0 <= box[0] < box[2] <= 1 and 0 <= box[1] < box[3] <= 1):
      raise ConfigError(f"config.data.mask has {box!r}; expected boxes (x0, y0, x1, y1) of shares from 0 to 1 with "
                        "x0 < x1 and y0 < y1, such as ((0.0, 0.0, 1.0, 0.1),) for the upper tenth of the frame.")
  if data.window and (len(data.window) != 2 or not data.window[1] > 0):
    raise ConfigError(f"config.data.window is {tuple(data.window)}; expected (centre, width) with a width above 0, "
                      "such as (2048, 4096), or () for the header's.")
