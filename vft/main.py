"""python -m vft.main --config=configs/medical.py [--workdir=FOLDER] [--config.FIELD=VALUE ...]

One of many processes: [--coordinator=HOST:PORT --processes=N --process=P], else what the environment says.
"""
import hashlib
import logging
import os
import platform
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from absl import flags
from ml_collections import ConfigDict
from ml_collections.config_flags import config_flags

from vft import config as configs
from vft import distributed, liveness, mirror
from vft.config import masking
from vft.errors import ConfigError, VftError, did_you_mean

COMPILED_BYTES = 1_000_000_000  # of the programs that are kept; the ones not used for longest go first


class Stopped(Exception):
  """The run was asked to stop and has saved."""

  def __init__(self, number: int):
    super().__init__(signal.Signals(number).name)
    self.exit_code = 128 + number


class StopRequest:
  """SIGTERM or SIGINT is answered after the step at work: save, then exit 143 or 130. A second SIGINT stops at once."""

  def __init__(self):
    self._number = 0
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._note)

  def _note(self, number: int, frame: FrameType | None) -> None:
    del frame
    if self._number and number == signal.SIGINT:
      raise KeyboardInterrupt
    self._number = number
    print(f"{signal.Signals(number).name}: stopping after this step; again to stop at once", file=sys.stderr)

  def check(self) -> None:
    """Raises Stopped when a signal has come, to this process or another one: all ask after the same step."""
    if number := distributed.largest(self._number):
      raise Stopped(number)


def parse(argv: list[str], runs: str = "runs",
          change: Callable[[ConfigDict], None] = lambda _: None) -> tuple[ConfigDict, Path]:
  """Arguments -> (config with its flags applied, workdir, by default `runs`/NAME). Raises ConfigError.

  `change` is made before the flags.
  """
  names = [a.split("=", 1)[1] for a in argv if a.startswith(("--config=", "-config="))]
  if len(names) != 1:
    raise ConfigError(f"Expected one --config, found {len(names)}: {' '.join(argv) or 'no arguments'}\n"
                      "Write: python -m vft.main --config=configs/medical.py")
  values, config = flags.FlagValues(), configs.load(names[0])
  change(config)
  overrides = [a for a in argv if not a.startswith(("--config=", "-config="))]
  flags.DEFINE_string("workdir", f"{runs}/{Path(names[0]).stem}", "Folder of the run.", flag_values=values)
  flags.DEFINE_bool("verbose", False, "Show tracebacks.", short_name="v", flag_values=values)
  try:
    holder = config_flags.DEFINE_config_dict("config", config, flag_values=values, sys_argv=overrides)
    rest = values(["vft", *overrides])
  except (flags.Error, ValueError, TypeError, KeyError, AttributeError, OverflowError) as e:
    raise ConfigError(f"{_plain(e, config, argv)}\nEvery field is listed in {configs.SHIPPED / 'default.py'}; write "
                      "--config.train.batch=16 and the like.") from e
  if len(rest) > 1:
    raise ConfigError(f"Unexpected: {' '.join(rest[1:])}. Flags are written --name=value.")
  return holder.value, mirror.place(values.workdir)


def _plain(error: Exception, config: ConfigDict, argv: list[str]) -> str:
  """What was mistyped, with the nearest field."""
  text = str(error.args[0] if error.args else error).replace("\\'", "'").replace("\\n", "\n")
  known = configs.fields(config)
  for flag in (a.lstrip("-").partition("=")[0] for a in argv if a.lstrip("-").startswith("config.")):
    name = flag.removeprefix("config.")
    if name not in known and not name.startswith(configs.FREE):
      return f"config.{name} is unknown{did_you_mean(name, known)}"
  return text


def keep_compiled() -> None:
  """Later starts find what XLA has compiled in ~/.cache/vft/compiled, unless VFT_COMPILED=off; JAX's own settings win.

  For processes that start JAX only afterwards, and those below them. Programs are kept apart by the features of the
  processor: a home may be that of many machines.
  """
  if os.environ.get("VFT_COMPILED") == "off" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
    return
  about = Path("/proc/cpuinfo")
  flags_line = re.search(r"^(flags|Features)\b.*", about.read_text(), re.MULTILINE) if about.exists() else None
  kind = f"{platform.machine()}-{hashlib.sha256(flags_line[0].encode() if flags_line else b'').hexdigest()[:8]}"
  os.environ["JAX_COMPILATION_CACHE_DIR"] = str(Path("~/.cache/vft/compiled", kind).expanduser())
  # Only a bounded cache locks its files. It reads all of them whenever it takes in another, so it should hold few.
  os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(COMPILED_BYTES))
  os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")


def guarded(work: Callable[[], None], verbose: bool = False) -> int:
  """Calls work() and returns the exit code; a user's mistake ends in one message, without a traceback."""
  keep_compiled()
  try:
    work()
  except VftError as e:
    if verbose:
      raise
    print(f"vft: {configs.masked_text(str(e))}", file=sys.stderr)
    return e.exit_code
  except Stopped as e:
    print(f"vft: stopped by {e}; saved. The same command goes on from here.", file=sys.stderr)
    return e.exit_code
  except KeyboardInterrupt:
    print("vft: stopped at once; the same command goes on from the last checkpoint.", file=sys.stderr)
    return 130
  return 0


def train(config: ConfigDict, workdir: Path, stop: Callable[[], None]) -> None:
  """One run."""
  from vft import run  # after the flags: a mistake in them costs no start of jax
  run.run(config, workdir, stop)


def _log() -> logging.Handler:
  handler = logging.StreamHandler()
  handler.setFormatter(masking.Formatter("%(levelname)s %(message)s"))
  return handler


def main(argv: list[str] | None = None, start: Callable[..., None] = train, runs: str = "runs") -> int:
  """Starts what the arguments ask for as start(config, workdir, stop); returns the exit code of DESIGN."""
  logging.basicConfig(level=logging.WARNING, handlers=[_log()])
  argv = sys.argv[1:] if argv is None else argv
  verbose, who = bool({"-v", "--verbose"} & set(argv)), None
  def work():
    config, workdir = parse(rest, runs)
    configs.check(config)
    if not who:
      return start(config, workdir, StopRequest().check)
    stop = StopRequest()
    with distributed.running(who, verbose):
      start(config, workdir, stop.check)
  def settle():
    nonlocal who, rest
    who, rest = distributed.peers(argv)
    if who and start is not train:
      raise ConfigError("Many processes are for vft train; the others run in one process, on all devices of a machine.")
  rest: list[str] = []
  if code := guarded(settle, verbose):
    return code
  return liveness.supervised(lambda: guarded(work, verbose)) if who else guarded(work, verbose)


def leave(code: int) -> None:
  """Ends the process; after a failure it waits for no thread or process, which may hang in a decoder."""
  sys.stdout.flush()
  sys.stderr.flush()
  os._exit(code) if code else sys.exit(code)


if __name__ == "__main__":
  leave(main())
