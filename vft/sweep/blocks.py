"""How many blocks of the trunk train: --blocks=0,1,2,4,all counts them from the last."""
from ml_collections import ConfigDict

from vft import models, optim
from vft.data.augment import mix
from vft.errors import ConfigError
from vft.sweep.space import BLOCKS, Field

HEAD = ("head/.*", "head")


def names(config: ConfigDict) -> tuple[tuple[str, ...], tuple[str, ...]]:
  """The trunk's blocks, stem to last, and what stands behind the last without being counted, such as its norm."""
  m = config.model
  found = models.make(m.name, variant=m.variant, num_classes=2, **m.options.to_dict()).blocks
  return tuple(b for b in found if b not in optim.OUTERMOST), tuple(b for b in found if b in optim.OUTERMOST)


def parse(text: str, config: ConfigDict) -> Field:
  """"0,1,2,4,all" -> the field of those numbers. Raises ConfigError for more blocks than there are."""
  known, _ = names(config)
  counts = [str(len(known)) if part.strip() == "all" else part.strip() for part in text.split(",")]
  wrong = [c for c in counts if not c.isdecimal() or int(c) > len(known)]
  if wrong:
    raise ConfigError(f"--blocks={text}: {wrong[0]!r} is not a number from 0 to {len(known)}, or all; "
                      f"{config.model.name} has {len(known)} blocks, from the first to the last: {', '.join(known)}.")
  return Field(BLOCKS, tuple(dict.fromkeys(str(int(c)) for c in counts)))


def add_group(config: ConfigDict) -> None:
  """A group `blocks` where the config has none, so that flags can set its rate; lr 0 stands for a tenth of the head's.

  Raises ConfigError where there is no group `head` to start from.
  """
  if "head" not in config.groups:
    raise ConfigError(f"--blocks trains the group 'head' and the last blocks, but config.groups has only "
                      f"{', '.join(config.groups) or 'nothing'}.\nWrite c.groups = dict(head=dict(train=True, "
                      "lr=1e-3), trunk=dict(train=False)).")
  if BLOCKS not in config.groups:
    config.groups = {**config.groups, BLOCKS: {**config.groups.head, "lr": 0.0}}


def train_last(config: ConfigDict, count: int) -> None:
  """Rewrites groups and rules: the head and the last `count` blocks train, with what stands behind them."""
  groups, (known, behind) = optim.make_groups(config), names(config)
  kept, rules = {"head": {**config.groups.head, "train": True}}, [HEAD]
  if count:
    rate = groups[BLOCKS]["lr"] or groups["head"]["lr"] / 10
    kept[BLOCKS] = {**config.groups[BLOCKS], "train": True, "lr": rate}
    rules += [(f"({'|'.join([*known[-count:], *behind])})/.*" if count < len(known) else ".*", BLOCKS)]
  if count < len(known):
    kept["trunk"] = {"train": False}
    rules += [(".*", "trunk")]
  config.groups, config.rules = kept, tuple(rules)
  if not count and config.augment.enabled and (not config.augment.copies or mix.make(config.augment)):
    config.features.cache = False  # the head alone sees a new view of each clip every epoch, as the other trials do
