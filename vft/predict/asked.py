"""What one asks of the predictions of a run, beside those themselves."""
import dataclasses
from pathlib import Path

from ml_collections import ConfigDict

from vft.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Asked:
  """coverage: a share, for sets. stride_s: between windows; 0 = as the run. smooth_s: the width of a mean over lines.
  segments: a line for each run of one label. group: a column or pattern, for a line per patient. annotate: a folder
  for an mp4 of each video.
  """
  coverage: float | None = None
  stride_s: float = 0.0
  smooth_s: float = 0.0
  segments: bool = False
  group: str = ""
  annotate: Path | None = None

  def config(self, config: ConfigDict) -> ConfigDict:
    """A run's config with the stride asked for. Raises ConfigError for what does not go together or with the run."""
    unit, along = config.sequence.unit, bool(self.smooth_s or self.segments)
    if self.stride_s < 0 or self.smooth_s < 0:
      raise ConfigError(f"--stride is {self.stride_s:g} and --smooth {self.smooth_s:g}; expected seconds above 0.")
    if self.stride_s and unit != "clip":
      raise ConfigError(f"--stride is for runs of clips; this one has a line per {unit} of its own "
                        f"(sequence.unit={unit!r}).\nLeave it out.")
    if along and not (self.stride_s or config.data.stride_s or unit == "video"):
      raise ConfigError("--smooth and --segments go along a video, of which this run sees only one line.\n"
                        "Add --stride=SECONDS for a window every so often.")
    if self.coverage is not None and (along or self.stride_s not in (0.0, config.data.stride_s)):
      raise ConfigError("--coverage holds for what validation had, and that was neither smoothed nor cut otherwise.\n"
                        "Leave out --smooth, --segments and --stride, or --coverage.")
    if self.group and (self.segments or unit != "clip"):
      raise ConfigError("--group is for a line per patient of a run of clips (sequence.unit='clip'), without "
                        "--segments.\nLeave it out, or --segments.")
    if self.annotate and unit == "patient":
      raise ConfigError("--annotate shows videos, of which a run over patients has none of its own.\nLeave it out.")
    changed = config.copy_and_resolve_references()
    changed.data.stride_s = float(self.stride_s or config.data.stride_s)
    return changed


NOTHING = Asked()
