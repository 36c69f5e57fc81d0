"""What all sources below one folder share: where they lie, what the config chose of them, and a way to their files."""
from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from vft import storage
from vft.data.sources.paths import inside
from vft.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
  import pandas as pd


@dataclasses.dataclass(frozen=True)
class Layout:
  """A data set as it lies on the disk. A subclass writes `rows` and what is special; see sources.Source.

  folder: what follows the colon in config.data.source.
  root: no path may leave it; "" = the folder.
  columns: of the tasks.
  options: items of config.data.options; those not given have the first value that OPTIONS allows.
  """
  folder: str
  root: str = ""
  follow_links: bool = False
  columns: tuple[str, ...] = ("label",)
  options: tuple[tuple[str, Any], ...] = ()

  classes: ClassVar[tuple[str, ...]] = ()
  simulated: ClassVar[bool] = False
  OPTIONS: ClassVar[dict[str, tuple[Any, ...]]] = {}  # {option: the values it may have}
  CHECKED: ClassVar[str] = "our own"  # the public loader or page that the layout was checked against; "" = unconfirmed

  def __post_init__(self):
    kind = type(self).__name__
    for name, value in self.options:
      if name not in self.OPTIONS:
        raise ConfigError(f"config.data.options.{name} is nothing that {kind} knows{did_you_mean(name, self.OPTIONS)}\n"
                          f"Known: {', '.join(self.OPTIONS) or 'none'}.")
      if value not in self.OPTIONS[name]:
        raise ConfigError(f"config.data.options.{name} is {value!r}; {kind} has "
                          f"{', '.join(map(repr, self.OPTIONS[name]))}.")

  def option(self, name: str) -> Any:
    """The chosen value of one of OPTIONS."""
    return dict(self.options).get(name, self.OPTIONS[name][0])

  def rows(self) -> pd.DataFrame:
    """See sources.Source."""
    raise NotImplementedError

  def read(self, path: str) -> Any:
    """See sources.Source. The absolute name of a file; paths are relative to the folder."""
    name = storage.join(self.folder, path)
    return inside(self.root or self.folder, name if storage.is_remote(name) else str(Path(name).absolute()),
                  self.follow_links)
