"""The `vft` script: vft train --config=medical | vft predict WORKDIR VIDEO... | vft weights list"""
import argparse
import sys

from vft import main as mains


def main() -> int:
  """Hands over to a command; returns its exit code."""
  parser = argparse.ArgumentParser("vft", description="Fine-tune pretrained video models on labelled clips.")
  commands = parser.add_subparsers(dest="command", required=True)
  commands.add_parser("train", help="vft train --config=medical [--workdir=FOLDER] [--config.FIELD=VALUE ...]",
                      add_help=False)
  predict = commands.add_parser("predict", help="label, probabilities and times of videos, as CSV")
  predict.add_argument("workdir", help="folder of a finished run")
  predict.add_argument("paths", nargs="+", help="videos, or folders of videos")
  predict.add_argument("--output", default="-", help="a CSV file; - is standard output")
  predict.add_argument("-v", "--verbose", action="store_true", help="show tracebacks")
  if sys.argv[1:2] == ["weights"]:  # loaded only then: it needs jax
    from vft import weights
    weights.add_parsers(commands)
  else:
    commands.add_parser("weights", help="published weights: list, show, fetch, verify, convert", add_help=False)
  if sys.argv[1:2] == ["train"]:
    return mains.main(sys.argv[2:])
  args = parser.parse_args()
  def work():
    if args.command == "weights":
      from vft import weights
      return weights.run(args)
    from vft import predict as predicts
    predicts.predict_files(args.workdir, args.paths, args.output)
  return mains.guarded(work, args.verbose)


if __name__ == "__main__":
  sys.exit(main())
