"""What each field may be, and which fit together. Looks at values only, opens nothing."""
import math
import re
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
SCHEDULES = ("constant", "linear", "cosine")
CONTROLS = ("majority", "single_frame", "random_trunk")
POSITIVE = ("data.num_frames", "data.fps", "data.resize", "data.size", "data.max_pixels", "train.batch", "train.accum",
            "data.duration_s", "data.decode_timeout_s", "augment.repeats", "train.epochs", "train.eval_every",
            "train.log_every", "features.batch", "eval.views", "eval.topk", "eval.bootstrap", "mesh.fsdp",
            "init.stats_clips", "model.depth", "probe.seeds", "lora.alpha")
# Fields that may change between a run and its continuation: they move no figure.
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
# Fields that a head does not look at, and what they then must be.
IDLE = {"attentive": ("pool", "temporal"), "transformer": ("temporal",), "tcn": ("temporal",),
        "original": ("pool", "temporal")}
HEADS = {"video": ("linear", "mlp", "transformer", "tcn"), "patient": ("linear", "mlp")}  # of sequence.unit
UNUSED = {"pool": "", "temporal": "mean"}


def check(config: ConfigDict) -> None:
  """Raises ConfigError for the first value that cannot work. Looks at values only, opens nothing."""
  flat = fields(config)
  _check_fields(flat)
  _check_types(flat)
  for key, value in flat.items():
    if isinstance(value, float) and not math.isfinite(value):
      raise ConfigError(f"config.{key} is {value}; expected a finite number, such as --config.{key}=0.001.")
  for key, known in CHOICES.items():
    _choice(f"config.{key}", flat[key], known)
  for key in POSITIVE:
    if flat[key] <= 0:
      raise ConfigError(f"config.{key} is {flat[key]}; expected a number above 0.")
  for key, (low, high) in BETWEEN.items():
    if not low <= flat[key] <= high:
      raise ConfigError(f"config.{key} is {flat[key]}; expected {low:g} to {high:g}.")
  for control in config.controls:
    _choice("config.controls", control, CONTROLS)
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
  _check_model(config.model)
  _check_sequence(config)
  _check_init(config)
  _check_groups(config)
  _check_stages(config)
  _check_lora(config.lora)
  _check_tasks(config)
  _check_loss(config)
  _check_subsets(config)
  _check_probe(config)


def _check_tasks(config: ConfigDict) -> None:
  for name, task in config.tasks.items():
    if not isinstance(task, ConfigDict):
      raise ConfigError(f"config.tasks.{name} is {task!r}; expected dict(kind=..., column=..., classes=..., "
                        "weight=...).")
    for key in task:
      _choice(f"a key of config.tasks.{name}", key, ("kind", "column", "classes", "weight"))
    _choice(f"config.tasks.{name}.kind", task.get("kind", "single"), ("single", "multi", "ordinal", "regression"))
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


def _check_probe(config: ConfigDict) -> None:
  """The grid of `vft probe`, and a head that comes from one."""
  for head in config.probe.heads:
    _choice("config.probe.heads", head, CHOICES["model.head"])
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


def _check_model(model: ConfigDict) -> None:
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


def _check_sequence(config: ConfigDict) -> None:
  """The head that a sequence needs, and what is about single clips only."""
  unit, m = config.sequence.unit, config.model
  if unit != "clip":
    _choice(f"config.model.head, where config.sequence.unit is {unit!r},", m.head, HEADS[unit])
    if config.augment.flip_pairs:
      raise ConfigError("config.augment.flip_pairs swaps the labels of single clips, but config.sequence.unit is "
                        f"{unit!r}: set it to (), and config.augment.flip to 0 where side matters.")
  if unit == "video" and config.eval.views * config.eval.crops > 1:
    raise ConfigError("config.eval.views and config.eval.crops are about videos with one label; where config.sequence."
                      "unit is 'video' every moment is one clip: set both to 1.")
  if m.stages > 1 and (unit, m.head) != ("video", "tcn"):
    raise ConfigError(f"config.model.stages is {m.stages}, which only the head 'tcn' over config.sequence.unit='video' "
                      "has: set it to 1.")


def _check_init(config: ConfigDict) -> None:
  """Fields of config.init that only mean something beside others."""
  init = config.init
  for field, usual in (("layout", ""), ("inflate", "centre"), ("map_labels", False)):
    if not init.weights and init[field] != usual:
      raise ConfigError(f"config.init.{field} is {init[field]!r}, but config.init.weights is empty: name the weights, "
                        f"or leave it at {usual!r}.")
  if init.map_labels and config.model.head not in ("linear", "attentive", "original"):
    raise ConfigError(f"config.init.map_labels starts from the published classifier, which does not stand on the head "
                      f"{config.model.head!r}: use --config.model.head=original or linear.")


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


def _choice(key: str, value: Any, known: tuple[Any, ...]) -> None:
  if value not in known:
    names = [str(k) for k in known]
    raise ConfigError(f"{key} is {value!r}{did_you_mean(str(value), names)} Known: {', '.join(names)}.")


def _check_lora(lora: ConfigDict) -> None:
  """The patterns of kernels, which the model itself is asked about later."""
  if not (isinstance(lora.targets, tuple | list) and lora.targets and all(isinstance(t, str) for t in lora.targets)):
    raise ConfigError(f"config.lora.targets is {lora.targets!r}; expected patterns of whole names, such as "
                      '(".*/(q|v)/kernel",); rank=0 switches LoRA off.')
  for pattern in lora.targets:
    _check_pattern("config.lora.targets", pattern)


def _check_pattern(key: str, pattern: Any) -> None:
  if not isinstance(pattern, str):
    raise ConfigError(f"{key} has the pattern {pattern!r}; expected text, such as 'head/.*'.")
  try:
    re.compile(pattern)
  except (re.error, OverflowError, RecursionError) as e:
    raise ConfigError(f"{key} has the pattern {pattern!r}, which is no regular expression: {e}.") from e


def _check_groups(config: ConfigDict) -> None:
  known = tuple(config.optim.group)
  for rule in config.rules:
    if not (isinstance(rule, tuple | list) and len(rule) == 2):
      raise ConfigError(f"config.rules has {rule!r}; expected pairs (pattern, group), such as "
                        '((\"head/.*\", \"head\"), (\".*\", \"trunk\")).')
    _check_pattern("config.rules", rule[0])
  for name, group in config.groups.items():
    if not isinstance(group, ConfigDict):
      raise ConfigError(f"config.groups.{name} is {group!r}; expected dict(train=..., lr=..., wd=..., schedule=...).")
    for key, value in group.items():
      _choice(f"a key of config.groups.{name}", key, known)
      if key in ("lr", "wd") and not (isinstance(value, int | float) and value >= 0):
        raise ConfigError(f"config.groups.{name}.{key} is {value!r}; expected a number, 0 or more.")
    _choice(f"config.groups.{name}.schedule", group.get("schedule", config.optim.group.schedule), SCHEDULES)
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


def _check_stages(config: ConfigDict) -> None:
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
      _choice("a group of config.train.stages", name, tuple(config.groups))
      if not config.groups[name].get("train", config.optim.group.train):
        raise ConfigError(f"config.train.stages thaws {name!r}, but config.groups.{name} has train=False: set it to "
                          "True; the group is frozen until its stage begins.")
      if name in seen:
        raise ConfigError(f"config.train.stages names {name!r} twice; a group thaws once.")
    last, seen = epoch, seen | set(names)
