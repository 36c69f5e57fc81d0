"""The `vft` script: vft check medical | vft train --config=medical | vft predict WORKDIR VIDEO... | vft weights list"""
import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml_collections import ConfigDict

from vft import main as mains
from vft import shards

SHARD = "one of N shares, from 0 on, restartable; the last one to finish merges them"


def main() -> int:
  """Hands over to a command; returns its exit code."""
  parser = argparse.ArgumentParser("vft", description="Fine-tune pretrained video models on labelled clips.")
  commands = parser.add_subparsers(dest="command", required=True)
  commands.add_parser("train", help="vft train --config=medical [--workdir=FOLDER] [--config.FIELD=VALUE ...]",
                      add_help=False)
  commands.add_parser("features", help="one pass of the frozen trunk over all clips, which training then finds: vft "
                      "features --config=medical [--shard=0/4]", add_help=False)
  commands.add_parser("probe", help="a grid of heads on kept features at once: vft probe --config=medical ...",
                      add_help=False)
  check = commands.add_parser("check", help="look at every video before a run: faults, copies, leaks between splits")
  check.add_argument("what", help="a config such as medical, or a source such as csv:/data/clips.csv; its fields are "
                     "set as in vft train: --config.data.root=/data")
  check.add_argument("--full", action="store_true", help="decode every frame; a file has ten times as long for it")
  check.add_argument("--shortcut", action="store_true", help="train on the border of the picture alone, and warn if it "
                     "tells the label")
  check.add_argument("--output", type=Path, metavar="FOLDER", help="default: runs/check/NAME")
  check.add_argument("--against", type=Path, metavar="MANIFEST", help="stop if a file is not the one of this manifest")
  check.add_argument("--shard", metavar="I/N", help=SHARD)
  check.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  new = commands.add_parser("new", help="a config for your videos, after a look at them: vft new polyps "
                            "--source=csv:/data/clips.csv")
  new.add_argument("domain", help="name of the config: small letters, digits and _")
  new.add_argument("--source", required=True, help="as config.data.source: csv:FILE, folder:FOLDER, dicom:FOLDER; more "
                   "fields are set as in vft train: --config.data.frame_rate=50")
  new.add_argument("--root", default="", metavar="FOLDER", help="folder that its paths are relative to")
  new.add_argument("--label", default="label", metavar="COLUMN", help="the column to predict; default: label")
  new.add_argument("--preset", choices=("ultrasound", "endoscopy", "surgery"), default="", help="kind of augmentation; "
                   "default: guessed from names and pictures")
  new.add_argument("--output", type=Path, metavar="FILE", help="default: configs/DOMAIN.py; never overwritten")
  new.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  predict = commands.add_parser("predict", help="label, probabilities and times of videos, as CSV or JSON")
  predict.add_argument("workdir", help="folder of a finished run")
  predict.add_argument("paths", nargs="+", help="videos, folders, patterns such as '*.mp4', or a CSV file with a "
                       "column path; - reads a list of them from standard input")
  predict.add_argument("--output", default="-", help="a .csv or .json file; - is standard output, as CSV")
  predict.add_argument("--stride", type=float, default=0.0, metavar="S", help="a window every S seconds of a video")
  predict.add_argument("--smooth", type=float, default=0.0, metavar="S", help="mean of windows S / 2 on each side")
  predict.add_argument("--segments", action="store_true", help="a line per stretch of windows with the same label")
  predict.add_argument("--group", default="", metavar="COLUMN", help="a line per patient: a column of a CSV file, or a "
                       r"pattern in the names of files, or else of their folders, such as 'p\d+'")
  predict.add_argument("--annotate", type=Path, metavar="FOLDER", help="an mp4 of each video with label and curve")
  predict.add_argument("--coverage", type=float, metavar="SHARE", help="adds the set of classes, or the bounds, that "
                       "hold the truth at this rate over new patients, such as 0.9: conformal, from validation")
  predict.add_argument("--shard", metavar="I/N", help=f"{SHARD}; needs --output=FILE")
  predict.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  evaluate = commands.add_parser("evaluate", help="the figures of a finished run on the data of another centre")
  evaluate.add_argument("workdir", help="folder of a finished run")
  evaluate.add_argument("--source", required=True, help="as config.data.source, such as csv:/data/other.csv")
  evaluate.add_argument("--root", default="", help="folder that its paths are relative to")
  evaluate.add_argument("--by", action="append", default=[], metavar="COLUMN",
                        help="figures for each value of a column, such as site or sex; may be given again")
  evaluate.add_argument("--output", default="", metavar="FOLDER", help="new; default: WORKDIR/evaluations/NAME")
  evaluate.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  export = commands.add_parser("export", help="a finished run for others: StableHLO with an example, or vft's own file")
  export.add_argument("workdir", help="folder of a finished run")
  export.add_argument("out", help="new folder; with --format=vft a new .safetensors file")
  export.add_argument("--format", choices=("stablehlo", "safetensors", "onnx", "vft"), default="stablehlo")
  export.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  runs = commands.add_parser("runs", help="a table of the runs in a folder: state, figure, time, what differs")
  runs.add_argument("folder", type=Path, nargs="?", default=Path("runs"), help="default: runs")
  runs.add_argument("--csv", default="", metavar="FILE", help="write it with every figure and field in a column of its "
                    "own; - is standard output")
  runs.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  report = commands.add_parser("report", help="one page of a finished run, or a comparison of several")
  report.add_argument("workdirs", nargs="+", metavar="WORKDIR", help="folder of a finished run")
  report.add_argument("--output", default="", metavar="FILE", help="default: WORKDIR/report.html, or comparison.html")
  report.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  if sys.argv[1:2] == ["weights"]:  # loaded only then: it needs jax
    from vft import weights
    weights.add_parsers(commands)
  else:
    commands.add_parser("weights", help="published weights: list, show, fetch, verify, convert", add_help=False)
  commands.add_parser("sweep", help="rates, sizes or trained blocks, chosen on validation: vft sweep --config=medical "
                      "--over groups.head.lr=1e-4..1e-1:log, or --blocks=0,1,2,4,all", add_help=False)
  commands.add_parser("explain", help="where and when a run looks: vft explain RUN VIDEO... --output=FOLDER",
                      add_help=False)
  commands.add_parser("inspect", help="clips as the model sees them, before and after augmentation, as a page and a "
                      "picture: vft inspect --config=medical", add_help=False)
  commands.add_parser("launch", help="several processes of one run on this machine: vft launch -n 2 --restarts=3 -- "
                      "train --config=medical", add_help=False)
  if sys.argv[1:2] == ["launch"]:
    from vft import launch
    return launch.entry(sys.argv[2:])
  if sys.argv[1:2] == ["train"]:
    return mains.main(sys.argv[2:])
  if sys.argv[1:2] == ["features"]:
    return _features(sys.argv[2:])
  if sys.argv[1:2] == ["probe"]:
    return mains.main(sys.argv[2:], _probe, "runs/probe")
  if sys.argv[1:2] == ["sweep"]:
    mains.keep_compiled()  # before jax is loaded
    from vft.sweep import command as sweeps
    return sweeps.entry(sys.argv[2:])
  if sys.argv[1:2] == ["inspect"]:
    mains.keep_compiled()
    from vft.contact_sheet import command as sheets
    return sheets.entry(sys.argv[2:])
  if sys.argv[1:2] == ["explain"]:
    mains.keep_compiled()
    from vft.explain import command as explains
    return explains.entry(sys.argv[2:])
  args, rest = parser.parse_known_args()
  if rest and args.command not in ("check", "new"):
    parser.error(f"unrecognized arguments: {' '.join(rest)}")
  def work():
    if args.command == "check":
      return _check(args, rest)
    if args.command == "new":
      from vft.new import command as news
      config, _ = mains.parse(["--config=default", f"--config.data.source={args.source}",
                               f"--config.data.root={args.root}", *rest])
      news.new(config, args.domain, output=args.output, label=args.label, preset=args.preset)
      return None
    if args.command == "weights":
      from vft import weights
      if args.action == "convert" and (Path(args.source) / "config.json").is_file():
        from vft.export import merged
        return merged.write(args.source, args.out)
      return weights.run(args)
    if args.command == "export":
      from vft.export import command as exports
      return exports.export(args.workdir, args.out, args.format)
    if args.command == "evaluate":
      from vft import elsewhere
      return elsewhere.evaluate_source(args.workdir, args.source, args.root, tuple(args.by), args.output)
    if args.command == "runs":
      from vft import runs as listed
      return listed.write_csv(args.folder, args.csv) if args.csv else listed.show(args.folder)
    if args.command == "report":
      from vft.report import command as reports
      return reports.report(args.workdirs, args.output)
    from vft import predict as predicts
    shard = shards.parse(args.shard) if args.shard else None
    asked = predicts.Asked(args.coverage, args.stride, args.smooth, args.segments, args.group, args.annotate)
    _waiting(lambda: predicts.predict_files(args.workdir, args.paths, args.output, shard, asked))
  return mains.guarded(work, args.verbose)


def _probe(config: ConfigDict, folder: Path, stop: Callable[[], None]) -> None:
  from vft import probe  # after the flags: a mistake in them costs no start of jax
  probe.probe(config, folder, stop, flags=sys.argv[2:])


def _check(args: argparse.Namespace, flags: list[str]) -> None:
  from vft import config as configs
  from vft.check import command
  from vft.data import sources
  kind, colon, where = args.what.partition(":")  # without one it is a config, some of which are called as their source
  name, source = (Path(where).stem, [f"--config.data.source={args.what}"]) if colon and kind in sources.KINDS else (
      Path(args.what).stem, [])
  config, _ = mains.parse([f"--config={'default' if source else args.what}", *source, *flags])
  configs.check(config)
  if args.shortcut:
    from vft import shortcut
    shortcut.check(config, args.output or Path("runs/check", name, "shortcut"), mains.StopRequest().check)
    return
  shard = shards.parse(args.shard) if args.shard else None
  _waiting(lambda: command.check(config, args.output or Path("runs/check", name), full=args.full, against=args.against,
                                 shard=shard))


def _features(argv: list[str]) -> int:
  shard: list[shards.Shard | None] = []

  def start(config: ConfigDict, folder: Path, stop: Callable[[], None]) -> None:
    from vft import feature_pass  # after the flags: a mistake in them costs no start of jax
    _waiting(lambda: feature_pass.keep(config, folder, stop, shard[0]))
  def take() -> None:
    found, argv[:] = shards.take(argv)
    shard.append(found)
  return mains.guarded(take) or mains.main(argv, start)


def _waiting(work: Callable[[], Any]) -> None:
  """A share that is not the last one ends with the number of those that are done."""
  try:
    work()
  except shards.Waiting as e:
    print(e)


def script() -> None:
  """What the `vft` of an installation calls."""
  mains.leave(main())


if __name__ == "__main__":
  script()
