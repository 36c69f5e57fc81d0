"""vft sweep: a normal run for each trial, chosen on validation; the same command goes on after a stop."""
import argparse
import gc
import logging
import math
import sys
from collections.abc import Mapping, Sequence
from itertools import islice, product
from pathlib import Path

import jax
from ml_collections import ConfigDict

from vft import hooks, main, run, tasks
from vft import workdir as workdirs
from vft.errors import ConfigError, NotFiniteError
from vft.sweep import blocks, cost, report, space
from vft.sweep.space import BLOCKS
from vft.sweep.study import SAMPLERS, Open, Study
from vft.writer import read_metrics

TRIALS = 20  # where --trials is not given and there is no grid
CHECKED = 500  # combinations of values that are checked before the first trial


def sweep(argv: Sequence[str]) -> None:
  """Runs what the arguments ask for and prints its table. Raises errors.VftError."""
  # Flags of fields may hold spaces, which argparse would take for arguments of its own.
  flags = [a for a in argv if a.startswith(("--config.", "-config."))]
  args = _parser().parse_args([a for a in argv if a not in flags])
  asked = Asked(args.config, flags, bool(args.blocks))
  base = asked.config({})
  if base.data.folds:
    raise ConfigError("config.data.folds is set: validation clips of one fold are test clips of another, so no choice "
                      "would leave a test untouched.\nSweep with --config.data.folds=0, then train the choice with "
                      "folds.")
  if args.trials < 0:
    raise ConfigError(f"--trials is {args.trials}; expected 1 or more.")
  fields = ((blocks.parse(args.blocks, base),) if args.blocks else ()) + space.parse(args.over, base)
  if not fields:
    raise ConfigError("There is nothing to try. Write --over groups.head.lr=1e-4..1e-1:log, or --blocks=0,1,2,4,all.")
  for values in islice(product(*(f.ends for f in fields)), CHECKED):
    run.check(asked.config(dict(zip([f.name for f in fields], values, strict=True))))
  folder = args.workdir or Path("runs/sweep", Path(args.config).stem)
  sampler = args.sampler or ("grid" if args.blocks else "tpe")
  stop = main.StopRequest()
  with workdirs.locked(folder):
    workdirs.settle_config(folder, base)
    study = Study(folder, fields, sampler=sampler, seed=base.seed,
                  trials=args.trials or (0 if sampler == "grid" else TRIALS), smaller=hooks.smaller(base.train.select))
    try:
      _run_trials(study, asked, folder, stop)
      report.report(study, asked, folder)
    finally:
      study.close()


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser("vft sweep", description=__doc__, allow_abbrev=False)
  parser.add_argument("--config", required=True, help="a config such as medical; fields of every trial are set as in "
                      "vft train: --config.data.shots=20")
  parser.add_argument("--over", action="extend", nargs="+", default=[], metavar="FIELD=RANGE",
                      help="what is tried: groups.head.lr=1e-4..1e-1:log, train.epochs=5..20, train.batch=16,32,64")
  parser.add_argument("--blocks", metavar="0,1,2,4,all", help="how many of the last blocks of the trunk train")
  parser.add_argument("--trials", type=int, default=0, help=f"default: {TRIALS}; of a grid all")
  parser.add_argument("--sampler", choices=SAMPLERS, help="default: tpe; grid with --blocks")
  parser.add_argument("--workdir", type=Path, help="default: runs/sweep/NAME")
  parser.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  return parser


class Asked:
  """The config that was asked for, and those of the trials."""

  def __init__(self, name: str, flags: Sequence[str], of_blocks: bool):
    self.name, self.flags, self._of_blocks = name, list(flags), of_blocks

  def config(self, values: Mapping[str, str], controls: bool = False) -> ConfigDict:
    """A config with values set as flags would set them; {} gives what all trials share. Raises ConfigError."""
    flags = [f"--config.{k}={v}" for k, v in values.items() if k != BLOCKS]
    config, _ = main.parse([f"--config={self.name}", *self.flags, *flags],
                           change=blocks.add_group if self._of_blocks else lambda _: None)
    if BLOCKS in values:
      blocks.train_last(config, int(values[BLOCKS]))
    if not controls:
      config.controls = ()
    return config


def _run_trials(study: Study, asked: Asked, folder: Path, stop: main.StopRequest) -> None:
  print("Controls are switched off in a sweep; the last line says how to train the choice with them.", file=sys.stderr)
  while trial := study.next():
    stop.check()
    of = f" of {study.trials}" if study.trials < math.inf else ""
    said = ", ".join(f"{k}={v}" for k, v in trial.values.items())
    if trial.twin:
      print(f"\nTrial {trial.number}{of}: {said}, as trial {trial.twin.number}: not run again", file=sys.stderr)
      trial.repeat()
    else:
      print(f"\nTrial {trial.number}{of}: {said}{', goes on' if trial.starts > 1 else ''}", file=sys.stderr)
      _run(trial, asked.config(trial.values), report.place(folder, trial.number), stop)


def _run(trial: Open, config: ConfigDict, folder: Path, stop: main.StopRequest) -> None:
  run.check(config)
  gc.collect()
  _forget_peak()
  try:
    result = run.finish(config, folder, stop.check)
  except NotFiniteError as e:
    trial.fail(str(e))
    print(f"Failed: {e}", file=sys.stderr)
    return
  except jax.errors.JaxRuntimeError as e:
    if "RESOURCE_EXHAUSTED" not in str(e):
      raise
    trial.fail(f"out of memory: {str(e).splitlines()[0]}")
    print(f"Failed: {e}", file=sys.stderr)
    return
  line = next(m for m in read_metrics(folder / "metrics.jsonl")
              if m["split"] == "val" and m["step"] == result["cost"]["best_step"])
  value = line[config.train.select]
  print(f"Trial {trial.number}: validation {config.train.select} {value:.4g}", file=sys.stderr)
  trial.tell(value, gflop=cost.step_gflop(config, tasks.from_json(result["data"]["tasks"])))


def _forget_peak() -> None:
  """Lets the peak memory of this process start anew for a trial, where the system can.

  What the process holds from earlier trials, mostly compiled programs, stays in it, and so does the largest child.
  """
  try:
    Path("/proc/self/clear_refs").write_text("5")
  except OSError as e:
    logging.info("peak memory is that of all trials so far: %s", e)


def entry(argv: Sequence[str]) -> int:
  """`vft sweep` with these arguments; returns the exit code of DESIGN."""
  logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
  return main.guarded(lambda: sweep(argv), verbose=bool({"-v", "--verbose"} & set(argv)))
