"""What can go wrong for a user, one class per exit code. A message says what was found and what to type next."""
import contextlib
import difflib
from collections.abc import Iterable, Iterator, Sequence

SHOWN = 10  # lines of a list in a message


class VftError(ValueError):
  """A user's mistake or a fault of the surroundings: printed without a traceback."""
  exit_code = 5


class ConfigError(VftError):
  """A bad config or flag."""
  exit_code = 2


class DataError(VftError):
  """Videos, labels or splits that cannot be used."""
  exit_code = 3


class WeightsError(VftError):
  """Weights or a checkpoint that do not fit, are damaged or are missing."""
  exit_code = 4


class RunError(VftError):
  """The run itself failed, such as by a loss that is not finite."""
  exit_code = 5


class NotFiniteError(RunError):
  """A loss, gradient or output that is not finite: with other settings the run may go through."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
  """Returns "; did you mean 'x'?" for the closest known word, or "".

  >>> did_you_mean("acuracy", ["loss", "accuracy"])
  "; did you mean 'accuracy'?"
  """
  close = difflib.get_close_matches(str(word), [str(k) for k in known], n=1)
  return f"; did you mean {close[0]!r}?" if close else ""


@contextlib.contextmanager
def collected(problems: list[DataError] | None) -> Iterator[None]:
  """DataErrors go into `problems`, or on their way where there is no such list."""
  try:
    yield
  except DataError as e:
    if problems is None:
      raise
    problems.append(e)


def some(lines: Sequence[str]) -> str:
  """The first lines of a list, indented, and how many more there are."""
  more = [f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
  return "\n".join(f"  {line}" for line in [*lines[:SHOWN], *more])
